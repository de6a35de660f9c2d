//! How ids, rules, claims and links are read: each reader finds what is planted, and nothing in what
//! only looks like it.
#![allow(
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop at once and say where"
)]
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]

use repository_rules::{
    links::{has_anchor, links, paths, resolve},
    requirements::{Rule, cited, claimed, id, rules},
};

#[test]
fn ids_have_one_spelling_and_other_words_are_none() {
    for word in ["LK-07", "LK-7", "LK7"] {
        assert_eq!(id(word).as_deref(), Some("LK-7"), "{word}");
    }
    assert_eq!(id("LC-D").as_deref(), Some("LC-D"));
    for word in [
        "ES256", "P-256", "UTF-8", "S256", "b6", "A0", "LC-K", "E000", "X25519", "B-6-7",
    ] {
        assert_eq!(id(word), None, "{word}");
    }
    let found: Vec<_> =
        cited("RFC 7636 (LK-07, B6)\n%C3%A9 F44-csFCur, AZ-12/13 to ER-5.").collect();
    let expected = [(1, "LK-7"), (1, "B-6"), (2, "AZ-12"), (2, "ER-5")];
    assert_eq!(found, expected.map(|(line, id)| (line, id.to_owned())));
}

#[test]
fn rules_are_read_with_priority_mark_and_source() {
    let page = "# Page\n\n- **B6** (P0) One\n  (two). Source: own.\n- **A8** (P2) (not built) Text.\n\n\
                Source: elsewhere\n- **AR-1** No priority. Source: own.\n";
    let read = rules(page);
    let part = |at: usize| {
        let rule: &Rule = &read[at];
        (
            rule.priority.as_deref(),
            rule.mark.as_deref(),
            rule.has_source,
        )
    };
    assert_eq!(part(0), (Some("P0"), None, true));
    assert_eq!(part(1), (Some("P2"), Some("not built"), false));
    assert_eq!(part(2), (None, None, true));
}

#[test]
fn claims_are_read_from_tests_alone() {
    for (path, text, expected) in [
        ("a.rs", "#[test]\nfn b6_x() {}", vec!["B-6"]),
        (
            "a.rs",
            "#[test]\nfn sk_01_ky_02_x() {}",
            vec!["KY-2", "SK-1"],
        ),
        (
            "a.rs",
            "#[test]\nfn lk_01_lc_a_x() {}",
            vec!["LC-A", "LK-1"],
        ),
        (
            "a.rs",
            "    #[tokio::test(flavor = \"x\")]\n    async fn b_6_x() {}",
            vec!["B-6"],
        ),
        (
            "a.rs",
            "on_both! {\n    b6_x, c1_y,\n}\nasync fn b7_z() {}",
            vec!["B-6", "C-1"],
        ),
        (
            "a.rs",
            "on_both! { x }\n/// ST-02, B6: a\nasync fn x() {}",
            vec!["B-6", "ST-2"],
        ),
        (
            "a.rs",
            "\nsuite! {\n    rd_02_x: y;\n    a4_z: w;\n}",
            vec!["A-4", "RD-2"],
        ),
        ("a.rs", "/// B6: a\n#[test]\nfn x() {}", vec!["B-6"]),
        (
            "a.rs",
            "/// B6: a\nfn b6_x() {}\n#[allow(x)]\nfn b7_x() {}",
            vec![],
        ),
        (
            "a.rs",
            "#[test]\nfn a_500_x() {}\n#[test]\nfn es256() {}\n#[test]\nfn x_b6() {}",
            vec![],
        ),
        (
            "a.feature",
            "  @A1 @BS-01 @mail\n  Scenario: B6\n  # @C1",
            vec!["A-1", "BS-1"],
        ),
        (
            "a.mjs",
            "  'C3 F2 the page': async ({ browser }) => {\n  // 'C4 x'",
            vec!["C-3", "F-2"],
        ),
        (
            "a.mjs",
            "  \"CW-02 form-action 'self'\": (kit) =>",
            vec!["CW-2"],
        ),
        (
            "a.mjs",
            "  all[`C5 scanner: ${name}`] = async ({ browser }) => {",
            vec!["C-5"],
        ),
    ] {
        let found: Vec<_> = claimed(path, text).into_iter().collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn links_are_read_outside_of_code_and_resolved_from_their_page() {
    let page =
        "[a](b.md#c-d) [x](https://x.test)\n```md\n[no](none.md)\n```\n# C: d\n[e](../f/g.rs)";
    assert_eq!(links(page), ["b.md#c-d", "../f/g.rs"]);
    assert_eq!(resolve("docs/a/page.md", "../f/g.rs"), "docs/f/g.rs");
    assert_eq!(
        paths("`src/a.rs` and `x`, `tests/*.rs`\n```\n`src/b.rs`\n```"),
        ["src/a.rs"]
    );
    assert!(has_anchor(page, "c-d") && !has_anchor(page, "no"));
}
