//! The layout that docs/architecture.md describes: the arrow between modules, no circles of
//! imports, one owner for each table, sizes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop at once and say where"
)]

use std::collections::BTreeSet;

use repository_rules::{arrow, files, graph::Graph, imports, is_test_file, product_files, text};

/// Each table, and the files that may name it: its owner first.
const TABLES: &[(&str, &[&str])] = &[
    ("audit_event", &["src/audit.rs"]),
    ("client", &["src/client/store.rs"]),
    ("code_budget", &["src/magic_link/budget.rs"]),
    ("consent", &["src/oauth/consent_store.rs"]),
    ("grant_family", &["src/oauth/grant_store"]),
    ("known_device", &["src/login/device.rs"]),
    ("logout_outbox", &["src/oauth/backchannel/queue.rs"]),
    ("magic_link_flow", &["src/login/flow"]),
    ("magic_link_token", &["src/magic_link/token"]),
    ("mail_outbox", &["src/mail/"]),
    // The listings of the command line show columns as they stand; they change nothing.
    ("session", &["src/session/", "src/cli/"]),
    ("signing_key", &["src/key/"]),
    ("user", &["src/user/", "src/cli/"]),
    ("user_email", &["src/user/", "src/cli/"]),
    ("user_identity", &["src/user/"]),
];

/// Names of modules that say nothing.
const EMPTY_NAMES: &[&str] = &[
    "helper", "helpers", "util", "utils", "common", "manager", "service", "services", "misc",
];

/// Names that fetch the time or randomness, and the one file that may use each.
const SOURCES: &[(&str, &str)] = &[
    ("SystemTime", "src/clock.rs"),
    ("SystemRandom", "src/secret.rs"),
    ("OsRng", "src/secret.rs"),
];

/// Files that may use one of [`SOURCES`] all the same, and why.
const SOURCES_EXCEPT: &[(&str, &str)] = &[
    // An argument of RSA signing; PKCS#1 v1.5 draws nothing from it.
    ("src/key/pair.rs", "SystemRandom"),
];

/// Lines that a file may have: a longer one usually holds two subjects.
const LINES: usize = 430;

/// Lines that a file of tests may have: often one long list.
const LINES_OF_TESTS: usize = 900;

/// Files that may be longer, and how long each may grow.
const LONG_FILES: &[(&str, usize)] = &[];

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn imports_follow_the_arrow() {
    let positions = arrow::read(&text("src/lib.rs"));
    let wrong: Vec<String> = product_files()
        .iter()
        .flat_map(|(path, text)| arrow::violations(path, text, &positions))
        .collect();
    assert_none(&wrong);
}

#[test]
fn every_module_has_a_position_in_the_arrow_and_the_arrow_no_other() {
    let lib = text("src/lib.rs");
    let declared = lib.lines().filter_map(|line| line.split_once("mod "));
    let mut modules: BTreeSet<String> = declared
        .map(|(_, name)| name.trim_end_matches(';').to_owned())
        .collect();
    modules.extend(["main", "entity"].map(str::to_owned));
    assert_eq!(
        arrow::read(&lib).into_keys().collect::<BTreeSet<_>>(),
        modules
    );
}

#[test]
fn no_files_import_each_other() {
    let graph = Graph::read(&product_files());
    assert!(
        graph.edges.values().map(|out| out.len()).sum::<usize>() > 300,
        "imports are read"
    );
    assert_none(&graph.circles());
}

#[test]
fn a_table_is_named_by_its_owner_alone() {
    let entities = files("entity/src", &[".rs"]);
    let tables: BTreeSet<&str> = entities
        .iter()
        .filter_map(|(path, _)| path.strip_prefix("entity/src/")?.strip_suffix(".rs"))
        .filter(|name| *name != "lib" && *name != "time")
        .collect();
    let listed: BTreeSet<&str> = TABLES.iter().map(|(table, _)| *table).collect();
    assert_eq!(listed, tables, "every table has an owner");
    let mut wrong = Vec::new();
    for (path, text) in product_files() {
        for name in imports::read(&imports::module_of(&path), &text).paths {
            let [first, table, ..] = &name[..] else {
                continue;
            };
            let Some((_, owners)) = TABLES
                .iter()
                .find(|(known, _)| first == "entity" && known == table)
            else {
                continue;
            };
            if !owners.iter().any(|owner| path.starts_with(owner)) {
                wrong.push(format!(
                    "{path} names the table {table}, which {} owns",
                    owners[0]
                ));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn migration_and_entity_import_nothing_of_ours() {
    for (folder, others) in [
        ("migration", ["entity", "entree", "testkit"]),
        ("entity", ["migration", "entree", "testkit"]),
    ] {
        let manifest = text(&format!("{folder}/Cargo.toml"));
        let named = manifest
            .lines()
            .filter_map(|line| line.split(['.', ' ', '=']).next());
        let ours: Vec<&str> = named.filter(|name| others.contains(name)).collect();
        assert!(ours.is_empty(), "{folder} depends on {ours:?}");
    }
}

#[test]
fn time_and_randomness_have_one_source() {
    let mut wrong = Vec::new();
    for (path, text) in product_files() {
        let read = imports::read(&imports::module_of(&path), &text);
        for (name, home) in SOURCES {
            let named = read
                .paths
                .iter()
                .any(|path| path.iter().any(|part| part == name));
            if named && path != *home && !SOURCES_EXCEPT.contains(&(path.as_str(), name)) {
                wrong.push(format!("{path} names {name}, which belongs to {home}"));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let all = ["src", "entity/src", "migration/src"];
    let paths = all
        .into_iter()
        .flat_map(|folder| files(folder, &[".rs"]))
        .map(|(path, _)| path);
    let wrong: Vec<String> = paths
        .filter(|path| {
            path.split(['/', '.'])
                .any(|name| EMPTY_NAMES.contains(&name))
        })
        .collect();
    assert_none(&wrong);
}

#[test]
fn long_files_are_known() {
    let all = ["src", "entity/src", "migration/src"];
    let mut wrong = Vec::new();
    for (path, text) in all.into_iter().flat_map(|folder| files(folder, &[".rs"])) {
        let listed = LONG_FILES.iter().find(|(file, _)| *file == path);
        let lines = text.lines().count();
        let usual = if is_test_file(&path) {
            LINES_OF_TESTS
        } else {
            LINES
        };
        let limit = listed.map_or(usual, |(_, limit)| *limit);
        if lines > limit {
            wrong.push(format!("{path}: {lines} lines, limit {limit}"));
        } else if listed.is_some() && lines <= usual {
            wrong.push(format!("{path} is short again: take it off the list"));
        }
    }
    assert_none(&wrong);
}

/// PO-02: what poem offers and the service does not use stays forbidden.
#[test]
fn po_02_what_is_not_used_is_forbidden() {
    let lints = text(".clippy.toml");
    for path in [
        "poem::web::cookie::CookieJar::remove",
        "poem::middleware::Csrf",
        "poem::web::RealIp",
        "poem::web::Redirect::temporary",
        "poem::web::Redirect::permanent",
        "poem::session::CookieSession",
        "poem::session::ServerSession",
    ] {
        assert!(
            lints.contains(&format!("path = \"{path}\"")),
            "{path} may be used"
        );
    }
    assert!(text("Cargo.toml").contains("unsafe_code = \"forbid\""));
}

/// The checks themselves: each finds what is planted, and nothing in what only looks like it.
mod planted {
    use super::*;

    const LIB: &str =
        "//! `main → oauth | magic_link → login → session, user → db, web → entity`.\n";

    fn found(path: &str, text: &str) -> Vec<String> {
        arrow::violations(path, text, &arrow::read(LIB))
    }

    #[test]
    fn an_import_against_the_arrow_is_found() {
        for (path, text, finds) in [
            ("src/db.rs", "use crate::login::flow;", "stands to its left"),
            (
                "src/user/mod.rs",
                "use crate::{web::page, login::{self, flow}};",
                "login",
            ),
            (
                "src/web/page.rs",
                "fn f() { crate::session::end() }",
                "stands to its left",
            ),
            (
                "src/web/page.rs",
                "fn f() { info!(\"{}\", crate::session::X) }",
                "stands to its left",
            ),
            (
                "src/web/page.rs",
                "use super::super::session;",
                "stands to its left",
            ),
            (
                "src/oauth/issue.rs",
                "use crate::magic_link::code;",
                "never meet",
            ),
            ("src/cellar.rs", "", "no position"),
        ] {
            let found = found(path, text);
            assert!(
                found.len() == 1 && found[0].contains(finds),
                "{path}: {text}: {found:?}"
            );
        }
    }

    #[test]
    fn comments_strings_and_tests_are_no_imports() {
        for text in [
            "// use crate::login;\nconst A: &str = \"crate::login::x\"; use super::super::db;",
            "#[cfg(test)]\nmod tests { use crate::login; }",
            "#[cfg(test)]\nuse crate::login;\nuse crate::db;",
        ] {
            assert!(found("src/web/page.rs", text).is_empty(), "{text}");
        }
    }

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        Graph::read(&files).circles()
    }

    #[test]
    fn a_circle_is_found_through_reexports_and_none_where_there_is_none() {
        let lib = ("src/lib.rs", "mod a; mod b;");
        let through = [
            lib,
            ("src/a/mod.rs", "mod inner; pub use inner::Thing;"),
            ("src/a/inner.rs", "use crate::b::Other; pub struct Thing;"),
            ("src/b.rs", "use crate::a::Thing; pub struct Other;"),
        ];
        let found = circles(&through);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("src/a/inner.rs imports src/b.rs"),
            "{found:?}"
        );
        let one_way = [
            lib,
            through[1],
            ("src/a/inner.rs", "pub struct Thing;"),
            through[3],
        ];
        assert!(circles(&one_way).is_empty());
    }
}
