//! Every address of ours in a page goes through the filter `link`, which puts the path of
//! `server.public_url` before it; scripts name no path of ours at all (OB-6).
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop at once and say where"
)]

use repository_rules::{files, product_files};

/// The attributes that hold addresses, and the beginning of an address in `<meta>`.
const ADDRESSES: [&str; 7] = [
    " href=\"",
    " src=\"",
    " action=\"",
    " formaction=\"",
    " data-state=\"",
    ";url=",
    " poster=\"",
];

/// Emails hold addresses with a host: their links come whole from the composer.
const WITHOUT_BASE: [&str; 1] = ["src/magic_link/email.html"];

/// Returns the addresses of a template that are neither whole nor pass the filter.
fn bare_addresses(template: &str) -> Vec<String> {
    let mut bare = Vec::new();
    for name in ADDRESSES {
        for (at, _) in template.match_indices(name) {
            let value = template.get(at + name.len()..).unwrap();
            let expression = value
                .strip_prefix("{{ ")
                .and_then(|rest| rest.split_once(" }}"));
            let is_linked = expression.is_some_and(|(inside, _)| inside.ends_with("|link"));
            // An empty value is the address of the page itself.
            let is_whole = ["https://", "data:", "#", "\""]
                .iter()
                .any(|start| value.starts_with(start));
            if !is_linked && !is_whole {
                let line = value.lines().next().unwrap_or_default();
                bare.push(format!("{}{line}", name.trim()));
            }
        }
    }
    bare
}

/// Returns the texts in a script that begin like a path.
fn paths_in_script(script: &str) -> Vec<&str> {
    let quoted = |quote: char| script.split(quote).skip(1).step_by(2);
    ['"', '\'', '`']
        .into_iter()
        .flat_map(quoted)
        .filter(|text| text.starts_with('/'))
        .collect()
}

#[test]
fn ob_6_every_address_in_a_template_passes_the_filter() {
    let mut wrong = Vec::new();
    let templates = files("src", &[".html"]);
    assert!(templates.len() > 15, "only {} found", templates.len());
    for (path, text) in templates {
        if !WITHOUT_BASE.contains(&path.as_str()) {
            let bare = bare_addresses(&text).into_iter();
            wrong.extend(bare.map(|address| format!("{path}: {address}")));
        }
    }
    assert!(wrong.is_empty(), "without |link:\n{}", wrong.join("\n"));
}

#[test]
fn ob_6_markup_in_code_and_scripts_name_no_path() {
    let mut wrong = Vec::new();
    for (path, text) in files("src", &[".js"]) {
        let found = paths_in_script(&text).into_iter();
        wrong.extend(found.map(|found| format!("{path}: {found}")));
    }
    for (path, text) in product_files() {
        // Tests at the end of a file look at markup.
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        let attributes = ["href=", "src=", "action="];
        let has_markup = |line: &&str| {
            attributes.iter().any(|name| {
                ["\\\"/", "\"/", "'/"]
                    .iter()
                    .any(|start| line.contains(&format!("{name}{start}")))
            })
        };
        let found = product.lines().filter(has_markup);
        wrong.extend(found.map(|line| format!("{path}: {}", line.trim())));
    }
    for (path, text) in files("src/locales", &[".ftl"]) {
        let found = text.lines().filter(|line| line.contains("href="));
        wrong.extend(found.map(|line| format!("{path}: {line}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The checker itself finds what it is there for.
#[test]
fn the_checker_sees_a_bare_address() {
    for bare in [
        r#"<a href="/login">"#,
        r#"<a href="{{ href }}">"#,
        r#"<form method="post" action="{% if x %}/a{% endif %}">"#,
        r#"<a href="login">"#,
        r#"<meta http-equiv="refresh" content="0;url={{ href }}">"#,
        r#"<form data-state="/login/sent/state">"#,
    ] {
        assert_eq!(bare_addresses(bare).len(), 1, "{bare}");
    }
    for good in [
        r#"<a href="{{ "/login"|link }}?x={{ y }}">"#,
        r#"<a href="{{ href|link }}">"#,
        r##"<a href="#main">"##,
        r#"<link rel="icon" href="data:image/svg+xml,x">"#,
    ] {
        assert_eq!(bare_addresses(good), Vec::<String>::new(), "{good}");
    }
    assert_eq!(paths_in_script(r#"fetch("/login")"#), ["/login"]);
    assert!(paths_in_script(r#"fetch(states, "x")"#).is_empty());
}
