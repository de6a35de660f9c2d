//! Every P0 requirement that the release claims, of `magic-link`, `oidc-provider`, `security` and `federation`, is named
//! by a test: by its name (`fn b6_…`, `b_6_…`), by the tag of a scenario (`@B6`), or by the name of a browser test (`'C3 the
//! waiting page …'`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The P0 requirements of the first release, and A6, which the design makes P0.
const CLAIMED: &[&str] = &[
    "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A9", "B1", "B2", "B3", "B4", "B5", "B6", "B7", "C1",
    "C2", "C3", "C4", "C5", "C7", "C8", "D1", "D2", "D3", "D4", "D5", "D6", "E1", "E2", "E4", "E5",
    "E6", "E8", "F1", "F2", "F3", "G1", "G2", "G3", "G5", "G7", "G9", "H1", "H2", "H3", "E3",
    "LK1", "LK2", "LK3", "LK4", "LK5", "LK6", "LK9", "LK10",
];

/// The requirements of `oidc-provider` that are P0, and RF-6 to RF-9, which the design makes P0. Those of signing in
/// elsewhere, RP, are `federation`'s in other words: [`HELD_AS`].
const PROVIDER: &[(&str, &[u32])] = &[
    ("CP", &[1, 2]),
    (
        "DI",
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
    ),
    ("JW", &[1, 2, 3]),
    (
        "AZ",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
        ],
    ),
    ("TK", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]),
    ("CA", &[1, 2, 3, 4, 5, 6, 7]),
    ("UI", &[1, 2, 3, 4, 5, 6]),
    ("RV", &[1, 2, 3]),
    ("ES", &[1, 2, 3, 4, 5, 6, 7]),
    ("SE", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("PM", &[1, 2, 3, 4, 5, 6, 7]),
    ("CL", &[1, 2, 3, 4, 5, 6]),
    ("ER", &[1, 2, 3, 4, 5]),
    ("KY", &[1, 2, 3, 4, 5, 6]),
    ("RF", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
];

/// The requirements of `security` that are P0. (Those of its threats are the ids that they point to.)
const SECURITY: &[(&str, &[u32])] = &[
    ("BS", &[1, 2, 3, 4, 5, 6]),
    ("CF", &[1, 2, 3, 4, 5]),
    ("CW", &[1, 2, 3, 4, 5]),
    ("PX", &[1, 2]),
    ("SK", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("JT", &[1, 2, 3, 4]),
    ("PO", &[1, 2, 3, 4]),
    ("RD", &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13]),
    ("DB", &[1, 2, 3]),
];

/// What the release has beyond P0: clients that sign, `acr`, an epoch of the ticket store.
const ADDED: &[&str] = &["CA8", "CA9", "CA10", "PM8", "RD9", "TK15"];

/// P0 requirements that other documents have under ids of their own, and those.
const HELD_AS: &[(&str, &[&str])] = &[
    ("RP1", &["DJ1"]),
    ("RP2", &["DJ1", "DJ3"]),
    ("RP3", &["DJ2"]),
    ("RP4", &["DJ4", "DJ10"]),
    ("RP5", &["PR2"]),
    ("RP6", &["UP3", "UP4", "CB4", "CB5"]),
    ("RP7", &["UP6"]),
    ("RP8", &["CB9"]),
    ("RP9", &["IT3", "IT5", "IT6", "IT8", "PR2"]),
    ("RP10", &["IT2", "IT4"]),
    ("RP11", &["IT11"]),
    ("RP12", &["IT11"]),
    ("RP13", &["LK1", "LK2"]),
    ("RP14", &["DJ9", "IT3", "IT5", "IT7", "IT8"]),
    ("RP15", &["CB6"]),
    ("RP16", &["HT6", "HT8"]),
];

/// The requirements of `federation` that are P0, and what of P1 is there, section by section; `R` is a line of its list of
/// rejections. (HT-1 names a library's trait; what it is for, HT-2 to HT-9, holds without it. What of linking, LK, is P0
/// stands above.)
const FEDERATION: &[(&str, &[u32])] = &[
    ("UP", &[1, 2, 3, 4, 5, 6, 7]),
    ("HT", &[2, 3, 4, 5, 6, 7, 8, 9]),
    ("DJ", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    ("CB", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    ("IT", &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11]),
    ("UE", &[1, 2, 3, 4, 5]),
    ("PR", &[1, 2]),
    ("LK", &[7]),
    (
        "R",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
            25, 26, 27, 28, 29, 30, 31, 32, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45,
        ],
    ),
];

/// P0 requirements that no test names, and why.
const LEFT_OUT: &[(&str, &str)] = &[];

/// The P0 requirements of the document: all letters and numbers of part 2 that are P0.
const P0: &[(&str, &[u32])] = &[
    ("A", &[1, 2, 3, 4, 5, 6, 7, 9]),
    ("B", &[1, 2, 3, 4, 5, 6, 7]),
    ("C", &[1, 2, 3, 4, 5, 7, 8]),
    ("D", &[1, 2, 3, 4, 5, 6]),
    ("E", &[1, 2, 3, 4, 5, 6, 8]),
    ("F", &[1, 2, 3]),
    ("G", &[1, 2, 3, 5, 7, 9]),
    ("H", &[1, 2, 3]),
    // Of `federation`: linking.
    ("LK", &[1, 2, 3, 4, 5, 6, 9, 10]),
];

/// The ids at the head of a test's name: `b6_…`, `b_6_…`, `sk_01_ky_02_…`.
fn ids_of_name(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('_').collect();
    let mut ids = Vec::new();
    let mut at = 0;
    while let Some(part) = parts.get(at) {
        let letters: String = part.chars().take_while(char::is_ascii_lowercase).collect();
        let digits = &part[letters.len()..];
        // No section has more than 45 requirements: `es256` is an algorithm, `a_500_keeps_…` an article and a status.
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n <= 45);
        if letters.is_empty() || letters.len() > 2 {
            break;
        }
        if let Some(n) = number(digits) {
            ids.push(format!("{}{n}", letters.to_uppercase()));
            at += 1;
        } else if let (true, Some(n)) = (
            digits.is_empty(),
            parts.get(at + 1).and_then(|next| number(next)),
        ) {
            ids.push(format!("{}{n}", letters.to_uppercase()));
            at += 2;
        } else {
            break;
        }
    }
    ids
}

/// Names of functions that are tests: an attribute that ends in `test]` or `test(…)]` stands before them.
fn rust_ids(text: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            let word = line
                .trim_start_matches("#[")
                .split(['(', ']'])
                .next()
                .unwrap_or_default();
            is_test |= word == "test" || word.ends_with("::test");
        } else if let Some(at) = line.find("fn ").filter(|_| is_test) {
            ids.extend(ids_of_name(
                line[at + 3..].split('(').next().unwrap_or_default(),
            ));
            is_test = false;
        } else if !line.is_empty() && !line.starts_with("//") {
            is_test = false;
        }
    }
    // `on_both!` makes tests of the functions that it names.
    let lists = text
        .split("on_both!")
        .skip(1)
        .filter_map(|rest| rest.split(['}', ')', ';']).next());
    for name in lists
        .flat_map(|list| list.split(['{', '(', ',', '}', ')']))
        .map(str::trim)
    {
        ids.extend(ids_of_name(name));
    }
    // So does `suite!`, which gives each a name of its own.
    let lists = text
        .split("\nsuite! {")
        .skip(1)
        .filter_map(|rest| rest.split('}').next());
    for (name, _) in lists
        .flat_map(|list| list.split(';'))
        .filter_map(|line| line.split_once(':'))
    {
        ids.extend(ids_of_name(name.trim()));
    }
    ids
}

/// Tags of scenarios: lines of `@A1 @B6`.
fn feature_ids(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('@'));
    lines
        .flat_map(str::split_whitespace)
        .filter_map(|tag| plain_id(tag.trim_start_matches('@')))
        .collect()
}

/// Names of browser tests: `'C3 F2 the link page …': async (`, ``tests[`C5 scanner: ${name}`] = async (``, `"CW-02 …": (kit)`.
fn browser_ids(text: &str) -> Vec<String> {
    let begins = |line: &'_ str| line.find(" async (").or_else(|| line.find(": (kit) =>"));
    let lines = text
        .lines()
        .filter_map(|line| begins(line).map(|at| line[..at].trim()));
    let named = lines.filter_map(|head| head.find(['\'', '"', '`']).map(|at| &head[at + 1..]));
    named
        .flat_map(|name| name.split(' ').map_while(plain_id).collect::<Vec<_>>())
        .collect()
}

/// `A1`, and `BS-01` as `BS1`.
fn plain_id(word: &str) -> Option<String> {
    let letters: String = word.chars().take_while(char::is_ascii_uppercase).collect();
    let number: u32 = word[letters.len()..].trim_start_matches('-').parse().ok()?;
    (1..=2)
        .contains(&letters.len())
        .then(|| format!("{letters}{number}"))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match path.file_name().and_then(|name| name.to_str()) {
            Some("node_modules" | "target") => {}
            _ if path.is_dir() => walk(&path, found),
            _ => found.push(path),
        }
    }
}

/// Every id that some test names, with how many do.
fn named() -> BTreeMap<String, usize> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in ["src", "tests", "examples"] {
        walk(&root.join(folder), &mut paths);
    }
    let mut count = BTreeMap::new();
    for path in paths {
        let read: fn(&str) -> Vec<String> = match path.extension().and_then(|kind| kind.to_str()) {
            Some("rs") => rust_ids,
            Some("feature") => feature_ids,
            Some("mjs") => browser_ids,
            _ => continue,
        };
        for id in read(&fs::read_to_string(&path).unwrap()) {
            *count.entry(id).or_default() += 1;
        }
    }
    count
}

#[test]
fn ids_every_p0_requirement_is_claimed_or_left_out_with_a_reason() {
    let all: BTreeSet<String> = P0
        .iter()
        .flat_map(|(letter, numbers)| numbers.iter().map(move |n| format!("{letter}{n}")))
        .collect();
    let left: Vec<String> = LEFT_OUT.iter().map(|(id, _)| (*id).to_owned()).collect();
    let listed: BTreeSet<String> = CLAIMED
        .iter()
        .map(|id| (*id).to_owned())
        .chain(left.clone())
        .collect();
    assert_eq!(listed, all);
    assert!(
        LEFT_OUT
            .iter()
            .all(|(id, why)| !CLAIMED.contains(id) && why.len() > 20),
        "claimed, or left out with a reason"
    );
}

#[test]
fn ids_every_claimed_requirement_is_named_by_a_test() {
    let named = named();
    assert!(named.len() > 50, "only {} ids found anywhere", named.len());
    let listed = [PROVIDER, SECURITY, FEDERATION].into_iter().flatten();
    let listed =
        listed.flat_map(|(letters, numbers)| numbers.iter().map(move |n| format!("{letters}{n}")));
    let elsewhere = HELD_AS.iter().flat_map(|(_, ids)| *ids);
    let claimed = CLAIMED
        .iter()
        .chain(ADDED)
        .chain(elsewhere)
        .map(|id| (*id).to_owned())
        .chain(listed);
    let missing: Vec<_> = claimed.filter(|id| !named.contains_key(id)).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
}

#[test]
fn ids_what_is_left_out_is_not_tested_after_all() {
    let named = named();
    let wrong: Vec<_> = LEFT_OUT
        .iter()
        .filter(|(id, _)| named.contains_key(*id))
        .collect();
    assert!(wrong.is_empty(), "tested, so to be claimed: {wrong:?}");
}

/// The reader itself: what is a test's id, and what only looks like one.
#[test]
fn ids_are_read_from_tests_alone() {
    assert_eq!(rust_ids("#[test]\nfn b6_x() {}"), ["B6"]);
    assert_eq!(
        rust_ids("    #[tokio::test(flavor = \"multi_thread\")]\n    async fn b_6_d_2_x() {}"),
        ["B6", "D2"]
    );
    assert_eq!(rust_ids("#[test]\nfn sk_01_ky_02_x() {}"), ["SK1", "KY2"]);
    assert_eq!(
        rust_ids("on_both! {\n    b6_x, c1_y,\n}\nasync fn b7_z() {}"),
        ["B6", "C1"]
    );
    assert_eq!(
        rust_ids("/// b6\nfn b6_x() {}\n#[allow(x)]\nfn b7_x() {}"),
        Vec::<String>::new()
    );
    assert_eq!(
        rust_ids("#[test]\nfn a_500_keeps() {}\n#[test]\nfn es256() {}"),
        Vec::<String>::new()
    );
    assert_eq!(
        rust_ids("#[test]\n// B9\nfn x_b6() {}"),
        Vec::<String>::new()
    );
    assert_eq!(
        rust_ids("\nsuite! {\n    rd_02_x: y;\n    a4_z: w;\n}"),
        ["RD2", "A4"]
    );
    assert_eq!(
        feature_ids("  @A1 @BS-01 @mail\n  Scenario: B6\n  # @C1"),
        ["A1", "BS1"]
    );
    assert_eq!(
        browser_ids("  'C3 F2 the page': async ({ browser }) => {\n  // 'C4 x'"),
        ["C3", "F2"]
    );
    assert_eq!(
        browser_ids("  \"CW-02 form-action 'self': a redirect\": (kit) =>"),
        ["CW2"]
    );
    assert_eq!(
        browser_ids("  all[`C5 scanner: ${name}`] = async ({ browser }) => {"),
        ["C5"]
    );
}
