//! The house as DESIGN §6 has it: imports point to the right, each table has one room, and no room is called what says
//! nothing. The arrow is read out of the documentation of `src/lib.rs`, so that words and rule cannot drift apart.
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

/// Each table, and the files that may name it: its owner first.
const TABLES: &[(&str, &[&str])] = &[
    ("audit_event", &["src/audit.rs"]),
    ("client", &["src/client/store.rs"]),
    ("code_budget", &["src/magic_link/budget.rs"]),
    ("consent", &["src/oauth/consent_store.rs"]),
    ("grant_family", &["src/oauth/grant_store.rs"]),
    ("known_device", &["src/login/device.rs"]),
    ("magic_link_flow", &["src/login/flow.rs"]),
    ("magic_link_token", &["src/magic_link/token.rs"]),
    ("mail_outbox", &["src/mail/"]),
    // `entree sessions list` and `entree users list` show columns as they stand; they change nothing.
    (
        "session",
        &[
            "src/session/mod.rs",
            "src/cli/sessions.rs",
            "src/cli/admin.rs",
        ],
    ),
    ("signing_key", &["src/key/"]),
    (
        "user",
        &[
            "src/user/mod.rs",
            "src/user/change.rs",
            "src/cli/admin.rs",
            "src/cli/sessions.rs",
        ],
    ),
    ("user_email", &["src/user/mod.rs", "src/cli/admin.rs"]),
    ("user_identity", &["src/user/identity.rs"]),
];

/// Names of modules that say nothing.
const EMPTY_NAMES: &[&str] = &[
    "helper", "helpers", "util", "utils", "common", "manager", "service", "services", "misc",
];

/// Words that fetch the time or randomness, and the one file that may say them.
const SOURCES: &[(&str, &str)] = &[
    ("SystemTime", "src/clock.rs"),
    ("OffsetDateTime::now", "src/clock.rs"),
    ("SystemRandom", "src/secret.rs"),
    ("new_v4", "src/secret.rs"),
    ("now_v7", "src/secret.rs"),
    ("OsRng", "src/secret.rs"),
    ("getrandom", "src/secret.rs"),
    ("thread_rng", "src/secret.rs"),
    ("rand::rng", "src/secret.rs"),
];

/// Files that may say one of [`SOURCES`] all the same, and why.
const SOURCES_EXCEPT: &[(&str, &str)] = &[
    ("src/key/pair.rs", "SystemRandom"), // an argument of RSA signing that PKCS#1 v1.5 draws nothing from
];

/// Files over 400 lines, and how far each may grow: a reason to look, not a rule (DESIGN §6, size).
const LONG_FILES: &[(&str, usize)] = &[
    ("src/config/mod.rs", 580),
    ("src/config/load_tests.rs", 580),
    ("src/config/check.rs", 480),
    ("src/config/providers.rs", 480),
    ("src/telemetry/metrics.rs", 480),
    ("src/mail/outbox/tests.rs", 650),
    ("src/oauth/token/assertion/tests.rs", 480),
];

/// For files that are not listed.
const LINES: usize = 430;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`, by its path from the top, with its text.
fn files(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let name = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The text with comments and the insides of strings and characters as blanks.
fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    let blank = |out: &mut Vec<u8>, from: usize, to: usize| {
        for byte in out
            .iter_mut()
            .take(to)
            .skip(from)
            .filter(|byte| **byte != b'\n')
        {
            *byte = b' ';
        }
    };
    while at < bytes.len() {
        let rest = &text.as_bytes()[at..];
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + find(rest, b"*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest, at.checked_sub(1).map(|i| bytes[i])) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = 2 + hashes;
            at + find(&rest[open..], close.as_bytes())
                .map_or(rest.len(), |end| open + end + close.len())
        } else if rest[0] == b'"' {
            at + quoted(rest, b'"')
        } else if rest[0] == b'\'' && (rest.get(1) == Some(&b'\\') || is_char(&text[at..])) {
            at + quoted(rest, b'\'')
        } else {
            at += 1;
            continue;
        };
        blank(&mut out, at, end);
        at = end;
    }
    String::from_utf8(out).unwrap()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn raw_string(rest: &[u8], before: Option<u8>) -> Option<usize> {
    if rest[0] != b'r'
        || before.is_some_and(|b| b.is_ascii_alphanumeric() && b != b'b' || b == b'_')
    {
        return None;
    }
    let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(hashes)
}

/// The length of a literal from its first to its last quote.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 1,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    rest.len()
}

/// A character and not a lifetime: the quote ends after one character.
fn is_char(rest: &str) -> bool {
    rest.chars().nth(2) == Some('\'')
}

/// The code without what is compiled for tests alone: tests may look anywhere.
fn product(text: &str) -> String {
    let mut code = code(text);
    while let Some(from) = code.find("#[cfg(test)]") {
        let item = &code[from..];
        // The item ends with its first brace or, for `mod tests;` and `use`, its semicolon.
        let brace = item.find('{').unwrap_or(item.len());
        let semicolon = item.find(';').unwrap_or(item.len());
        let end = if semicolon < brace {
            semicolon + 1
        } else {
            braced(item, brace)
        };
        let gap: String = item[..end].chars().filter(|c| *c == '\n').collect();
        code.replace_range(from..from + end, &gap);
    }
    code
}

fn braced(item: &str, from: usize) -> usize {
    let mut depth = 0_i32;
    for (at, c) in item.char_indices().skip_while(|(at, _)| *at < from) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 {
            return at + 1;
        }
    }
    item.len()
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs") || path.ends_with("/conformance.rs")
}

/// The first names after each `prefix::` (`crate`, `entity`), groups in braces taken apart.
fn named(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let whole = format!("{prefix}::");
    for (at, _) in code.match_indices(&whole) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || "_:$".contains(c)) {
            continue;
        }
        heads(&code[at + whole.len()..], &mut found);
    }
    found
}

/// The first names of a use tree.
fn heads(tree: &str, found: &mut BTreeSet<String>) {
    let tree = tree.trim_start();
    let Some(group) = tree.strip_prefix('{') else {
        let name: String = tree
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '*')
            .collect();
        found.insert(name);
        return;
    };
    let (mut depth, mut start) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && !c.is_whitespace() => {
                heads(&group[at..], found);
                start = false;
            }
            _ => {}
        }
    }
}

/// `super::super::name` that climbs out of its room names another room.
fn climbed(path: &str, code: &str) -> BTreeSet<String> {
    let inside = path
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .trim_end_matches("/mod");
    let depth = inside.split('/').count();
    let up = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(&up) {
        let longer = code[..at].ends_with("super::");
        if !longer && !code[at + up.len()..].starts_with("super::") {
            heads(&code[at + up.len()..], &mut found);
        }
    }
    found
}

/// Where a room stands: its place from the left, and the side of it, if its place is divided by `|`.
type Place = (usize, Option<usize>);

/// The arrow in the documentation of the library: from left to right, `|` between rooms that never meet.
fn arrow(lib: &str) -> BTreeMap<String, Place> {
    let docs: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .collect();
    let docs = docs.join(" ");
    let text = docs
        .split('`')
        .find(|part| part.contains('→'))
        .expect("the arrow")
        .to_owned();
    let mut places = BTreeMap::new();
    for (place, level) in text.split('→').enumerate() {
        let sides: Vec<&str> = level.split('|').collect();
        for (side, rooms) in sides.iter().enumerate() {
            for room in rooms.split(',').map(str::trim) {
                places.insert(room.to_owned(), (place, (sides.len() > 1).then_some(side)));
            }
        }
    }
    places
}

/// What is wrong with the imports of one file.
fn astray(path: &str, text: &str, places: &BTreeMap<String, Place>) -> Vec<String> {
    let room = path
        .trim_start_matches("src/")
        .split(['/', '.'])
        .next()
        .unwrap()
        .to_owned();
    if room == "lib" {
        return Vec::new();
    }
    let code = product(text);
    let Some(&(from, side)) = places.get(&room) else {
        return vec![format!("{path}: {room} has no place")];
    };
    let mut names = named(&code, "crate");
    names.extend(climbed(path, &code));
    // The binary is a crate of its own.
    names.extend(if room == "main" {
        named(&code, "entree")
    } else {
        BTreeSet::new()
    });
    let mut wrong = Vec::new();
    for name in names.iter().filter(|name| **name != room) {
        match places.get(name) {
            None => wrong.push(format!("{path} imports {name}, which has no place")),
            Some((to, _)) if *to < from => {
                wrong.push(format!("{path} imports {name}, which stands to its left"))
            }
            Some((to, other)) if *to == from && side != *other => {
                wrong.push(format!(
                    "{path} imports {name}: {room} and {name} never meet"
                ));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// The tables that a file names and does not own.
fn trespasses(path: &str, text: &str) -> Vec<String> {
    let code = product(text);
    let mut wrong = Vec::new();
    for name in named(&code, "entity") {
        let Some((_, owners)) = TABLES.iter().find(|(table, _)| *table == name) else {
            continue;
        };
        let owned = owners
            .iter()
            .any(|owner| path == *owner || (owner.ends_with('/') && path.starts_with(owner)));
        if !owned {
            wrong.push(format!("{path} names the table {name} of {}", owners[0]));
        }
    }
    wrong
}

/// Uses of a word in code, whole words only.
fn says(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let edge = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        edge(code[..at].chars().next_back()) && edge(code[at + word.len()..].chars().next())
    })
}

fn secret_sources(path: &str, text: &str) -> Vec<String> {
    let code = product(text);
    let excepted = |word: &str| SOURCES_EXCEPT.contains(&(path, word));
    let foreign = SOURCES
        .iter()
        .filter(|(word, home)| path != *home && !excepted(word) && says(&code, word));
    foreign
        .map(|(word, home)| format!("{path} says {word}, which belongs to {home}"))
        .collect()
}

fn empty_names(path: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let declared = code
        .match_indices("mod ")
        .map(|(at, word)| code[at + word.len()..].trim_start());
    let declared = declared.map(|rest| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap()
    });
    let in_path = path.split(['/', '.']);
    declared
        .chain(in_path)
        .filter(|name| EMPTY_NAMES.contains(name))
        .map(|name| format!("{path}: {name}"))
        .collect()
}

fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn product_files() -> Vec<(String, String)> {
    let all = files("src")
        .into_iter()
        .filter(|(path, _)| !is_test_file(path))
        .collect::<Vec<_>>();
    assert!(all.len() > 50, "only {} files found", all.len());
    all
}

#[test]
fn house_imports_point_to_the_right() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let places = arrow(&lib);
    none(
        product_files()
            .iter()
            .flat_map(|(path, text)| astray(path, text, &places))
            .collect(),
    );
}

#[test]
fn house_every_room_has_a_place_in_the_arrow_and_the_arrow_no_other() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rooms = code(&lib);
    let rooms = rooms
        .match_indices("pub mod ")
        .map(|(at, word)| rooms[at + word.len()..].split(';').next().unwrap());
    let mut rooms: BTreeSet<String> = rooms.map(str::to_owned).collect();
    rooms.extend(["main", "entity"].map(str::to_owned));
    assert_eq!(arrow(&lib).into_keys().collect::<BTreeSet<_>>(), rooms);
}

#[test]
fn house_a_table_is_named_by_its_room_alone() {
    let tables: BTreeSet<String> = files("entity/src")
        .into_iter()
        .map(|(path, _)| {
            Path::new(&path)
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .filter(|name| name != "lib" && name != "time")
        .collect();
    let listed: BTreeSet<String> = TABLES
        .iter()
        .map(|(table, _)| (*table).to_owned())
        .collect();
    assert_eq!(listed, tables, "every table has an owner");
    none(
        product_files()
            .iter()
            .flat_map(|(path, text)| trespasses(path, text))
            .collect(),
    );
}

#[test]
fn house_migration_and_entity_import_nothing_of_ours() {
    for (folder, ours) in [
        ("migration", ["entity", "entree", "testkit"]),
        ("entity", ["migration", "entree", "testkit"]),
    ] {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let names: Vec<&str> = manifest
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(name, _)| name)
            .collect();
        let found: Vec<_> = files(&format!("{folder}/src"))
            .into_iter()
            .filter(|(_, text)| ours.iter().any(|ours| !named(&code(text), ours).is_empty()))
            .map(|(path, _)| path)
            .collect();
        assert!(
            found.is_empty() && !ours.iter().any(|ours| names.contains(ours)),
            "{folder}: {found:?} {names:?}"
        );
    }
}

#[test]
fn house_time_and_randomness_have_one_source() {
    none(
        product_files()
            .iter()
            .flat_map(|(path, text)| secret_sources(path, text))
            .collect(),
    );
}

#[test]
fn house_no_room_is_called_what_says_nothing() {
    let all = ["src", "entity/src", "migration/src"]
        .into_iter()
        .flat_map(files);
    none(
        all.flat_map(|(path, text)| empty_names(&path, &text))
            .collect(),
    );
}

#[test]
fn house_there_is_no_unsafe_code() {
    let all = ["src", "entity/src", "migration/src"]
        .into_iter()
        .flat_map(files);
    none(
        all.filter(|(_, text)| says(&code(text), "unsafe"))
            .map(|(path, _)| path)
            .collect(),
    );
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
}

/// What poem offers and we do not use; where a test reads this file, the lint holds everywhere.
#[test]
fn po_02_what_is_not_used_is_forbidden() {
    let lints = fs::read_to_string(root().join(".clippy.toml")).unwrap();
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
}

#[test]
fn house_long_files_are_known() {
    let all = ["src", "entity/src", "migration/src", "tests"]
        .into_iter()
        .flat_map(files);
    let long = all.filter_map(|(path, text)| {
        let budget = LONG_FILES
            .iter()
            .find(|(file, _)| *file == path)
            .map_or(LINES, |(_, lines)| *lines);
        let lines = text.lines().count();
        (lines > budget && !path.starts_with("tests/"))
            .then(|| format!("{path}: {lines} lines, budget {budget}"))
    });
    none(long.collect());
    let small = LONG_FILES.iter().filter(|(file, _)| {
        fs::read_to_string(root().join(file)).map_or(0, |text| text.lines().count()) <= 400
    });
    none(
        small
            .map(|(file, _)| format!("{file} is short again: take it off the list"))
            .collect(),
    );
}

/// The checkers themselves: each must find what is planted, and nothing in what looks like it.
#[test]
fn house_the_checkers_find_what_is_planted() {
    let lib = "//! `main → oauth | magic_link → login → session, user → db, web → entity`.\n";
    let places = arrow(lib);
    assert_eq!(
        (places["login"], places["oauth"], places["magic_link"]),
        ((2, None), (1, Some(0)), (1, Some(1)))
    );
    for (path, text, finds) in [
        ("src/db.rs", "use crate::login::flow;", "stands to its left"),
        (
            "src/user/mod.rs",
            "use crate::{\n    web::{error::Failure, page},\n    login::{self, flow},\n};",
            "login",
        ),
        (
            "src/web/page.rs",
            "fn f() { crate::session::end() }",
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
        (
            "src/magic_link/api.rs",
            "let x = crate::oauth::issue();",
            "never meet",
        ),
        ("src/login/flow.rs", "use crate::cellar;", "has no place"),
        ("src/cellar.rs", "", "has no place"),
    ] {
        let found = astray(path, text, &places);
        assert!(
            found.len() == 1 && found[0].contains(finds),
            "{path}: {text}: {found:?}"
        );
    }
    for (path, text) in [
        (
            "src/login/flow.rs",
            "use crate::{session::{self, end}, web::error};",
        ),
        ("src/user/mod.rs", "use crate::session;"),
        (
            "src/web/page.rs",
            "// use crate::login;\nconst A: &str = \"crate::login::x\"; use super::super::db;",
        ),
        (
            "src/web/page.rs",
            "/* crate::login:: */ const A: &str = r#\"\" crate::login::x\"#; const B: char = '\"';",
        ),
        (
            "src/web/page.rs",
            "fn f<'a>(x: &'a str) {} #[cfg(test)]\nmod tests { use crate::login; }",
        ),
        (
            "src/web/page.rs",
            "#[cfg(test)]\nuse crate::login;\nuse crate::db;",
        ),
        (
            "src/web/page.rs",
            "use super::error; use other_crate::login;",
        ),
    ] {
        assert_eq!(astray(path, text, &places), Vec::<String>::new(), "{text}");
    }
    assert_eq!(
        trespasses(
            "src/login/flow.rs",
            "use entity::{Time, magic_link_flow as row, user::Model};"
        )
        .len(),
        1
    );
    assert_eq!(
        trespasses(
            "src/login/flow.rs",
            "fn f() { entity::session::Entity::find() }"
        )
        .len(),
        1
    );
    assert_eq!(
        trespasses(
            "src/mail/outbox/worker.rs",
            "use entity::mail_outbox::Model;"
        )
        .len(),
        0
    );
    assert_eq!(
        secret_sources(
            "src/login/flow.rs",
            "let now = std::time::SystemTime::now();"
        )
        .len(),
        1
    );
    assert_eq!(
        secret_sources("src/login/flow.rs", "let id = uuid::Uuid::new_v4();").len(),
        1
    );
    assert_eq!(
        secret_sources("src/clock.rs", "let now = SystemTime::now();").len(),
        0
    );
    assert_eq!(
        secret_sources("src/web/a.rs", "// SystemTime\nlet x = \"SystemTime\";").len(),
        0
    );
    assert_eq!(empty_names("src/web/utils.rs", "").len(), 1);
    assert_eq!(
        empty_names("src/web/mod.rs", "pub mod helpers;\nmod page;").len(),
        1
    );
    assert!(
        says(&code("unsafe { x() }"), "unsafe") && !says(&code("// unsafe\n\"unsafe\""), "unsafe")
    );
    assert!(!says("#![forbid(unsafe_code)]", "unsafe"));
}
