//! docs/providers.md is held to the code: every block loads, and every code that the audit log may show is explained.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use entree::{
    config::{Mode, Source},
    federation::error::RefusalCode,
};

fn page() -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/providers.md")).unwrap()
}

/// The TOML blocks of the page.
fn blocks(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines().map(str::trim);
    while lines.by_ref().any(|line| line == "```toml") {
        found.push(
            lines
                .by_ref()
                .take_while(|line| *line != "```")
                .map(|line| format!("{line}\n"))
                .collect(),
        );
    }
    found
}

/// A folder with every secret that the page names.
struct Secrets(PathBuf);

impl Secrets {
    fn new(page: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("entree-providers-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in page
            .split("\"/etc/entree/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            let key = name.ends_with(".p8");
            let text = if key {
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
            } else {
                "s3cret"
            };
            let file = folder.join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self(folder)
    }

    fn load(&self, block: &str) -> entree::config::Config {
        let text = format!(
            "[server]\npublic_url = \"https://login.example.com\"\n[mail]\nhost = \"smtp.example.com\"\nfrom = \
             \"Entree <login@example.com>\"\n{}",
            block.replace("/etc/entree/", &format!("{}/", self.0.display()))
        );
        let file = self.0.join("entree.toml");
        fs::write(&file, text).unwrap();
        let source = Source {
            file: Some(file),
            env: Vec::new(),
            mode: Mode::Serve,
        };
        source
            .load()
            .unwrap_or_else(|problems| panic!("{problems:#?}\n{block}"))
            .config
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_block_of_the_providers_page_is_a_configuration_without_problems() {
    let page = page();
    let secrets = Secrets::new(&page);
    let mut kinds = BTreeSet::new();
    for block in blocks(&page) {
        let config = secrets.load(&block);
        assert_eq!(config.reloadable.providers.len(), 1, "{block}");
        let provider = &config.reloadable.providers[0];
        kinds.insert(format!("{:?}", provider.kind));
        let uri = provider.redirect_uri("https://login.example.com");
        // The local one is not registered anywhere.
        assert!(
            provider.loopback_http || page.contains(&uri),
            "the page names {uri}"
        );
    }
    assert_eq!(kinds.len(), 7, "one of each kind: {kinds:?}");
    let first = &blocks(&page)[0];
    assert_eq!(first.lines().count(), 5, "five lines are enough: {first}");
}

#[test]
fn every_code_is_explained_with_its_statuses() {
    let page = page();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `up_") || line.starts_with("| `lk_"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let mut explained = BTreeSet::new();
    for row in rows.iter().filter(|row| row.len() == 6) {
        let codes: BTreeSet<&str> = row[1]
            .split(", ")
            .map(|code| code.trim_matches('`'))
            .collect();
        let statuses: BTreeSet<u16> = row[2]
            .split(", ")
            .filter_map(|status| status.parse().ok())
            .collect();
        for code in codes {
            let meant: BTreeSet<u16> = RefusalCode::ALL
                .iter()
                .filter(|one| one.as_str() == code)
                .map(|code| code.status())
                .collect();
            assert_eq!(meant, statuses, "{code}");
            assert!(!row[3].is_empty() && !row[4].is_empty(), "{code}");
            explained.insert(code.to_owned());
        }
    }
    let all: BTreeSet<String> = RefusalCode::ALL
        .iter()
        .map(|code| code.as_str().to_owned())
        .collect();
    assert_eq!(explained, all);
}
