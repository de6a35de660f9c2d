mod wording;

use std::{collections::BTreeSet, path::PathBuf};

use super::*;

struct Directory(PathBuf);

impl Directory {
    fn with(files: &[(&str, &str)]) -> Self {
        let root =
            std::env::temp_dir().join(format!("entree-texts-{}", crate::secret::public_id()));
        for (name, text) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(root)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn source_files(root: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(source_files(&path, endings));
        } else if endings
            .iter()
            .any(|ending| path.extension().is_some_and(|ext| ext == *ending))
        {
            found.push(path);
        }
    }
    found
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn g8_every_language_has_every_key() {
    let english = shipped_keys("en");
    assert!(english.len() > 50);
    for tag in Texts::default().tags() {
        assert_eq!(english, shipped_keys(&tag), "{tag}");
    }
}

#[test]
fn g8_every_file_of_texts_is_built_in() {
    let built_in: BTreeSet<String> = load::shipped_keys("en")
        .into_iter()
        .chain(load::shipped_keys("fr"))
        .collect();
    for file in source_files(&src().join("locales"), &["ftl"]) {
        let text = std::fs::read_to_string(&file).unwrap();
        for key in text
            .lines()
            .filter_map(|line| line.split_once(" ="))
            .map(|(key, _)| key)
        {
            let is_key = key.starts_with(|c: char| c.is_ascii_lowercase());
            assert!(
                !is_key || built_in.contains(key),
                "{} is not built in ({key})",
                file.display()
            );
        }
    }
}

#[test]
fn g8_every_key_in_use_exists() {
    let known = shipped_keys("en");
    let mut used = BTreeSet::new();
    for file in source_files(&src(), &["rs", "html", "txt"]) {
        let text = std::fs::read_to_string(&file).unwrap();
        let compact: String = text.split_whitespace().collect();
        for call in ["localizer.", "self."].iter().flat_map(|receiver| {
            ["text", "text_with", "html"].map(|name| format!("{receiver}{name}(\""))
        }) {
            for (at, _) in compact.match_indices(&call) {
                let key = compact[at + call.len()..].split('"').next().unwrap();
                let is_unknown_on_purpose = file.ends_with("locale/tests.rs");
                assert!(
                    known.contains(key) || is_unknown_on_purpose,
                    "{} uses `{key}`",
                    file.display()
                );
                used.insert(key.to_owned());
            }
        }
    }
    assert!(used.len() > 100, "{}", used.len());
}

#[test]
fn negotiation_serves_the_nearest_language() {
    let texts = Texts::default();
    let long = "fr,".repeat(2000);
    let late = format!("{}fr", "xx-YY;q=0.5, ".repeat(400));
    for (ui_locales, header, expected) in [
        ("", "", "en"),
        ("", "fr-CA", "fr"),
        ("", "FR", "fr"),
        ("", "de, fr;q=0.5, en;q=0.8", "en"),
        ("", "de;q=0.9,fr;q=0.7", "fr"),
        ("", "fr;q=0, en;q=0.1", "en"),
        ("", "fr;q=0", "en"),
        ("", "fr;q=2, fr;q=NaN, fr;q=-1, fr;q=x", "en"),
        ("", "*", "en"),
        ("", ";;;,,,q=1;\u{0}", "en"),
        ("", "é-è, \u{1F483}", "en"),
        ("fr", "en", "fr"),
        ("de fr-BE en", "en", "fr"),
        ("fr_CA", "", "fr"),
        ("../../etc/passwd", "", "en"),
        ("", &long, "fr"),
        ("", &late, "en"),
        (&"\u{e9}".repeat(3000), &"\u{e9}".repeat(3000), "en"),
    ] {
        let localizer = texts.negotiate(ui_locales, header);
        assert_eq!(&*localizer.tag, expected, "{ui_locales:.20} / {header:.40}");
    }
}

#[test]
fn an_unknown_key_shows_itself_and_an_unused_argument_is_ignored() {
    let localizer = Texts::default().localizer("fr");
    assert_eq!(localizer.text("no-such-key"), "no-such-key");
    assert_eq!(
        localizer.text_with("sign-in-title", &[("unused", "x".to_owned())]),
        "Connexion"
    );
}

#[test]
fn numbers_choose_plurals_and_codes_keep_their_zeros() {
    let localizer = Texts::default().localizer("en");
    let left = |n: &str| localizer.text_with("sent-tries-left", &[("count", n.to_owned())]);
    assert_eq!(left("1"), "You have one attempt left.");
    assert_eq!(left("4"), "You have 4 attempts left.");
    assert_eq!(
        localizer
            .text_with("sent-code-hint", &[("digits", "00012345".to_owned())])
            .split(' ')
            .next(),
        Some("00012345")
    );
    assert_eq!(
        localizer
            .text_with("sent-code-hint", &[("digits", "12345678".to_owned())])
            .split(' ')
            .next(),
        Some("12345678")
    );
}

#[test]
fn plain_text_has_no_isolation_characters_and_html_isolates_and_escapes() {
    let localizer = Texts::default().localizer("en");
    let client = ("client", "<b>\u{E000}&".to_owned());
    assert_eq!(
        localizer.text_with("sign-in-title-client", &[("client", "A".to_owned())]),
        "Sign in to A"
    );
    assert_eq!(
        localizer.html("sign-in-title-client", &[client]),
        "Sign in to <bdi>&lt;b&gt;&amp;</bdi>"
    );
}

#[test]
fn a_moment_is_spelled_out() {
    let texts = Texts::default();
    let at = Time(1_795_446_485_000);
    assert_eq!(
        texts.localizer("en").date_time(at),
        "23 November 2026, 15:08 UTC"
    );
    assert_eq!(
        texts.localizer("fr").date_time(at),
        "23 novembre 2026 à 15:08 UTC"
    );
    assert_eq!(texts.localizer("en").date_time(Time(i64::MAX)), "");
}

#[test]
fn a_device_has_words_in_each_language() {
    let texts = Texts::default();
    assert_eq!(
        texts.localizer("en").device("Firefox on Linux"),
        "Firefox on Linux"
    );
    let french = texts.localizer("fr");
    let words =
        ["Firefox on Linux", "Safari", UNKNOWN_DEVICE, ""].map(|words| french.device(words));
    assert_eq!(
        words,
        ["Firefox sur Linux", "Safari", "Appareil inconnu", ""]
    );
}

#[test]
fn operators_replace_single_messages_and_add_languages() {
    let directory = Directory::with(&[
        ("en/own.ftl", "sign-in-title = Come in\nservice = Studio\n"),
        ("ar/own.ftl", "sign-in-title = تسجيل الدخول\n"),
    ]);
    let texts = Texts::load(Some(&directory.0)).unwrap();
    let english = texts.localizer("en");
    assert_eq!(english.text("sign-in-title"), "Come in");
    assert_eq!(english.text("service"), "Studio");
    assert_eq!(english.text("sent-title"), "Check your email");
    let arabic = texts.negotiate("ar-EG", "");
    assert_eq!((arabic.direction(), english.direction()), ("rtl", "ltr"));
    assert_eq!(arabic.text("sent-title"), "Check your email");
}

#[test]
fn an_override_with_an_unknown_argument_shows_the_shipped_text() {
    let directory = Directory::with(&[("en/own.ftl", "sign-in-title = Hello { $unknown }\n")]);
    assert_eq!(
        Texts::load(Some(&directory.0))
            .unwrap()
            .localizer("en")
            .text("sign-in-title"),
        "Sign in"
    );
}

#[test]
fn all_problems_are_reported_at_once_and_a_bad_directory_changes_nothing() {
    let good = Directory::with(&[("en/a.ftl", "sign-in-title = Come in\n")]);
    let bad = Directory::with(&[
        ("en/a.ftl", "sign-in-title = Other\nsing-in-title = Typo\n"),
        ("fr/b.ftl", "sign-in-title = { $\n"),
        ("not a tag/c.ftl", "sign-in-title = x\n"),
    ]);
    let texts = Texts::load(Some(&good.0)).unwrap();
    let (clone, in_use) = (texts.clone(), texts.localizer("en"));
    let problems = texts.reload(Some(&bad.0)).unwrap_err();
    assert!(
        problems.contains("`sing-in-title`")
            && problems.contains("b.ftl: line 1")
            && problems.contains("not a tag"),
        "{problems}"
    );
    assert_eq!(clone.localizer("en").text("sign-in-title"), "Come in");
    texts.reload(None).unwrap();
    assert_eq!(clone.localizer("en").text("sign-in-title"), "Sign in");
    assert_eq!(
        in_use.text("sign-in-title"),
        "Come in",
        "a localizer in use does not change"
    );
    assert!(
        Texts::load(Some(Path::new("/no/such/directory")))
            .unwrap_err()
            .contains("/no/such/directory")
    );
}

#[test]
fn what_is_misplaced_or_cannot_be_read_is_reported_at_once() {
    let directory = Directory::with(&[("en/a.ftl", "sign-in-title = Come in\n")]);
    let root = &directory.0;
    std::fs::write(root.join("lost.ftl"), "sign-in-title = Lost\n").unwrap();
    std::fs::write(root.join("README"), "not a text").unwrap();
    std::fs::write(root.join("en/b.ftl"), [0xff, 0xfe]).unwrap();
    let problems = Texts::load(Some(root)).unwrap_err();
    let named: Vec<bool> = ["lost.ftl", "b.ftl", "README", "a.ftl"]
        .iter()
        .map(|name| problems.contains(name))
        .collect();
    assert_eq!(named, [true, true, false, false], "{problems}");
}
