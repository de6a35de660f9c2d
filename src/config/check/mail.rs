//! Checks `[mail]`.

use std::net::IpAddr;

use super::values::has_certificates;
use crate::config::{
    mode::Mode,
    problem::Section,
    settings::{Mail, MailTransport, SmtpTls},
};

pub(super) fn check(mail: &Mail, mode: &Mode, section: &mut Section<'_>) {
    section.range(mail.concurrency as u64, 1..=256, "concurrency");
    section.range(
        mail.waiting_connections as u64,
        0..=1024,
        "waiting_connections",
    );
    section.range(
        mail.ceiling_per_minute.into(),
        1..=1_000_000,
        "ceiling_per_minute",
    );
    section.range(
        mail.ceiling_times_normal.into(),
        1..=1000,
        "ceiling_times_normal",
    );
    section.range(mail.timeout_seconds, 1..=300, "timeout_seconds");
    let is_sender = mail.from.parse::<lettre::message::Mailbox>().is_ok();
    if mail.transport == MailTransport::Mailbox {
        section.require(
            mode.is_dev(),
            "transport",
            "is the mailbox page",
            "Set mail.transport = \"smtp\". The mailbox page shows every email and is for `entree dev`.",
        );
        section.require(
            is_sender || mail.from.is_empty(),
            "from",
            "is not an email address",
            "Correct it, or remove it.",
        );
        return;
    }
    let what = if mail.from.is_empty() {
        "is not set"
    } else {
        "is not an email address"
    };
    let hint = "Set the sender, for instance `Entree <login@example.com>`.";
    section.require(is_sender, "from", what, hint);
    check_server(mail, section);
}

fn check_host(host: &str, section: &mut Section<'_>) {
    let with_port = host
        .rsplit_once(':')
        .filter(|(name, _)| !name.contains(':'));
    if let Some((name, port)) = with_port.filter(|(_, port)| port.parse::<u16>().is_ok()) {
        let hint = format!("Set mail.host = \"{name}\" and mail.port = {port}.");
        return section.refuse("host", "holds a port", &hint);
    }
    let is_name_character = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    let is_name = !host.is_empty() && host.chars().all(is_name_character);
    section.require(
        is_name || host.parse::<IpAddr>().is_ok(),
        "host",
        "is not a host name",
        "Set mail.host to a name or an address alone, without scheme or port.",
    );
}

fn check_server(mail: &Mail, section: &mut Section<'_>) {
    check_host(&mail.host, section);
    let (has_username, has_password) = (!mail.username.is_empty(), !mail.password.is_empty());
    section.require(
        has_password || !has_username,
        "password",
        "is not set",
        "Set mail.password or mail.password_file, or remove mail.username.",
    );
    section.require(
        has_username || !has_password,
        "username",
        "is not set",
        "Set mail.username, or remove mail.password.",
    );
    let is_clear = mail.tls == SmtpTls::None;
    section.require(
        !is_clear || !has_username,
        "tls",
        "is \"none\" although a user name is set",
        "Set mail.tls = \"starttls\" or \"implicit\". A password is never sent unencrypted.",
    );
    let is_local =
        mail.host == "localhost" || mail.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    section.warn_if(
        is_clear && !is_local,
        "tls",
        "is \"none\" for another machine",
        "Set \"starttls\" or \"implicit\". Anyone on the network can read an unencrypted email and use its link.",
    );
    section.require(
        mail.ca_file.as_deref().is_none_or(has_certificates),
        "ca_file",
        "is not a readable PEM file",
        "Name a file with certificates in PEM.",
    );
}
