//! The file, the environment, and what the commands add.

use super::*;
use crate::config::settings::MailTransport;

#[test]
fn a_file_that_is_not_toml_names_the_line_and_not_its_text() {
    let problems = load_text("[server]\n\nmaster_key = hunter2 hunter3\n", &[]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].what.contains("line 3"), "{problems:?}");
    assert!(!problems[0].to_string().contains("hunter"), "{problems:?}");
}

#[test]
fn a_named_file_must_exist_and_the_default_need_not() {
    assert!(load(None, &BASE, Mode::Serve).is_ok());
    let nowhere = Path::new("/nowhere/entree.toml");
    let problems = load(Some(nowhere), &BASE, Mode::Serve).unwrap_err();
    assert_eq!(keys(&problems), ["/nowhere/entree.toml"]);
}

/// What an unreadable file sets is not missing: the operator gets one problem, not its consequences.
#[test]
fn no_setting_of_an_unreadable_file_is_called_missing() {
    let nowhere = Path::new("/nowhere/entree.toml");
    let problems = load(Some(nowhere), &[], Mode::Serve).unwrap_err();
    assert_eq!(keys(&problems), ["/nowhere/entree.toml"]);
    let broken = File::new("[server\npublic_url = \"https://id.example.com\"\n");
    let problems = load(Some(&broken.0), &[], Mode::Serve).unwrap_err();
    assert_eq!(keys(&problems), [broken.name()]);
    let wrong = [("ENTREE__SERVER__LISTEN", "here")];
    let problems = load(Some(nowhere), &wrong, Mode::Serve).unwrap_err();
    assert_eq!(
        keys(&problems),
        ["/nowhere/entree.toml", "ENTREE__SERVER__LISTEN"],
        "the environment is read nevertheless"
    );
    for (text, key) in [
        (
            "mail.username = \"u\"\nmail.password_file = \"/nowhere\"",
            "mail.password_file",
        ),
        (
            "database.url = \"postgres://h/d\"\ntickets.url_file = \"/nowhere\"",
            "tickets.url_file",
        ),
    ] {
        assert_eq!(refused_keys(text), [key]);
    }
}

#[test]
fn the_environment_overrides_the_file_and_is_read_by_type() {
    let text = "[token]\naccess_seconds = 300\nid_seconds = 300\n[mail]\nhost = \"file\"";
    let env = [
        ("ENTREE__TOKEN__ACCESS_SECONDS", "120"),
        ("ENTREE__MAIL__HOST", "env.example.com"),
        ("ENTREE__MAIL__USERNAME", "12345"),
        ("ENTREE__MAIL__PASSWORD", "true"),
        ("ENTREE__API__V2_ENABLED", "true"),
        (
            "ENTREE__PROVIDERS",
            r#"[{"id":"a","kind":"google","client_id":"c","client_secret":"s"}]"#,
        ),
        (
            "ENTREE__SERVER__TRUSTED_PROXIES",
            "10.0.0.0/8, 192.168.0.0/16",
        ),
        ("ENTREE__LIMITS__RESEND_SECONDS", "5,6"),
        ("ENTREE__LIMITS__NETWORK", "[{ count = 1, seconds = 2 }]"),
        (
            "ENTREE__CLIENTS",
            r#"[{"client_id":"a","name":"A","audience":"https://a","first_party":true}]"#,
        ),
        ("ENTREE_OTHER", "is not a setting"),
        ("OTHER__X", "is not one either"),
    ];
    let Config {
        startup,
        reloadable,
    } = load_text(text, &env).unwrap().config;
    let token = &reloadable.token;
    assert_eq!((token.access_seconds, token.id_seconds), (120, 300));
    let mail = &startup.mail;
    assert_eq!(mail.host, "env.example.com");
    assert_eq!(mail.username, "12345");
    assert_eq!(mail.password.expose(), "true");
    assert!(reloadable.api.v2_enabled);
    assert_eq!(startup.server.trusted_proxies.len(), 2);
    assert_eq!(reloadable.limits.resend_seconds, [5, 6]);
    let network = reloadable.limits.network[0];
    assert_eq!((network.count, network.seconds), (1, 2));
    assert!(reloadable.clients[0].first_party);
    assert_eq!(reloadable.providers[0].client_secret.expose(), "s");
}

#[test]
fn a_bad_variable_is_refused_at_its_key() {
    let text = "[[clients]]\nclient_id = \"a\"\nname = \"A\"\naudience = \"https://a\"\n\
                first_party = true\n";
    for (name, value, key) in [
        (
            "ENTREE__API__V2_ENABLED_X",
            "true",
            "ENTREE__API__V2_ENABLED_X",
        ),
        ("ENTREE__API__V2_ENABLED", "yes", "ENTREE__API__V2_ENABLED"),
        (
            "ENTREE__TOKEN__ACCESS_SECONDS",
            "soon",
            "ENTREE__TOKEN__ACCESS_SECONDS",
        ),
        ("ENTREE__SERVER", "x", "ENTREE__SERVER"),
        ("ENTREE_SERVER__LISTEN", "x", "ENTREE_SERVER__LISTEN"),
        ("ENTREE__SERVER____X", "x", "ENTREE__SERVER____X"),
        ("ENTREE__CLIENTS__0__NAME", "x", "ENTREE__CLIENTS__0__NAME"),
        (
            "ENTREE__LIMITS__RESEND_SECONDS",
            "5,x",
            "ENTREE__LIMITS__RESEND_SECONDS[1]",
        ),
        (
            "ENTREE__SERVER__TRUSTED_PROXIES",
            "10.0.0.0/8,x",
            "ENTREE__SERVER__TRUSTED_PROXIES[1]",
        ),
        (
            "ENTREE__CLIENTS",
            "[{\"name\":\"A\",\"audience\":\"https://a\",\"first_party\":true}]",
            "ENTREE__CLIENTS[0].client_id",
        ),
    ] {
        let problems = load_text(text, &[(name, value)]).unwrap_err();
        assert_eq!(keys(&problems), [key], "{name}: {problems:?}");
    }
}

/// OD-6: the words of a problem, by file and environment.
#[test]
fn od_6_hints_name_the_variable_where_the_value_came_from_one_and_the_key_otherwise() {
    for (text, env, words) in [
        (
            "",
            ("ENTREE__SERVER__LISTEN", "localhost:8080"),
            "ENTREE__SERVER__LISTEN must be an IP address with a port. Write, for example: \
             ENTREE__SERVER__LISTEN=127.0.0.1:8080",
        ),
        (
            "",
            ("ENTREE__MAIL__HOST", "smtp.example.com:587"),
            "ENTREE__MAIL__HOST holds a port. Set ENTREE__MAIL__HOST=smtp.example.com and \
             ENTREE__MAIL__PORT=587.",
        ),
        (
            "",
            ("ENTREE__SERVER__TRUSTED_PROXIES", "10.0.0.0/33"),
            "ENTREE__SERVER__TRUSTED_PROXIES[0] must be an IP address or network. Write, for \
             example: ENTREE__SERVER__TRUSTED_PROXIES=10.0.0.0/8,::1/128",
        ),
        (
            "",
            ("ENTREE__MAIL__PASSWROD", "x"),
            "ENTREE__MAIL__PASSWROD is not a known key. Did you mean ENTREE__MAIL__PASSWORD?",
        ),
        (
            "",
            ("ENTREE__MAIL__USERNAME", "u"),
            "mail.password is not set. Set mail.password or mail.password_file, or remove \
             ENTREE__MAIL__USERNAME.",
        ),
        (
            "session.idle_seconds = 9999999",
            ("ENTREE__SESSION__ABSOLUTE_SECONDS", "5000000"),
            "session.idle_seconds is under a minute or over ENTREE__SESSION__ABSOLUTE_SECONDS. Set \
             a number from 60 to ENTREE__SESSION__ABSOLUTE_SECONDS.",
        ),
        (
            "mail.host = \"smtp.example.com:587\"",
            ("ENTREE__TOKEN__ACCESS_SECONDS", "60"),
            "mail.host holds a port. Set mail.host = \"smtp.example.com\" and mail.port = 587.",
        ),
    ] {
        let problems = load_text(text, &[env]).unwrap_err();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|one| one == words), "{words}\n{said:#?}");
    }
}

#[test]
fn dev_presets_are_below_the_file_and_the_command_line_is_above_everything() {
    let dev = |port, env: &[(&str, &str)]| {
        let data_dir = Some("elsewhere".into());
        load(None, env, Mode::Dev { port, data_dir })
    };
    let loaded = dev(Some(0), &[]).unwrap();
    let Config {
        startup,
        reloadable,
    } = loaded.config;
    assert_eq!(startup.mail.transport, MailTransport::Mailbox);
    assert_eq!(startup.server.listen.port(), 0);
    assert_eq!(startup.management.listen.port(), 0);
    assert_eq!(startup.server.data_dir, Path::new("elsewhere"));
    assert_eq!(reloadable.clients[0].client_id, "lessons-web");
    assert_eq!(loaded.notes.len(), 1);

    let env = [
        ("ENTREE__DATABASE__URL", "postgres://u@h/d"),
        ("ENTREE__TICKETS__URL", "memory:"),
        ("ENTREE__MAIL__TRANSPORT", "smtp"),
        ("ENTREE__MAIL__FROM", "a@example.com"),
        ("ENTREE__MANAGEMENT__LISTEN", "127.0.0.1:7777"),
        (
            "ENTREE__CLIENTS",
            "[{ client_id = \"a\", name = \"A\", audience = \"https://a\", first_party = true }]",
        ),
    ];
    let loaded = dev(Some(0), &env).unwrap();
    let Config {
        startup,
        reloadable,
    } = loaded.config;
    assert_eq!(startup.mail.transport, MailTransport::Smtp);
    assert_eq!(startup.management.listen.port(), 7777);
    assert_eq!(reloadable.clients[0].client_id, "a");
    assert!(loaded.notes.is_empty());

    let problems = dev(None, &[("ENTREE__SERVER__LISTEN", "0.0.0.0:8080")]).unwrap_err();
    assert_eq!(keys(&problems), ["ENTREE__SERVER__LISTEN"]);
}

#[test]
fn a_database_command_needs_the_database_settings_only() {
    let load = |env| load(None, &[env], Mode::Database);
    assert!(load(("ENTREE__DATABASE__URL", "postgres://h/d")).is_ok());
    let problems = load(("ENTREE__DATABASE__URL", "h/d")).unwrap_err();
    assert_eq!(keys(&problems), ["ENTREE__DATABASE__URL"]);
    let problems = load(("ENTREE__DATABASE__URI", "h/d")).unwrap_err();
    assert_eq!(
        keys(&problems),
        ["ENTREE__DATABASE__URI"],
        "unknown keys always count"
    );
}
