//! The features under `tests/features`, run against the built binary: on the embedded default, on PostgreSQL and Redis,
//! and on two copies of it; what is about mail runs again on Mailpit.
//!
//! Prints one line for each run, `bdd NAME: N passed, N failed` or `bdd NAME: skipped (reason)`. A run that is skipped,
//! or that ran nothing, fails on a build server (`CI=true`). `BDD=embedded,servers` chooses runs, `BDD_TAG=@B6`
//! scenarios.
#![allow(
    clippy::too_many_lines,
    clippy::excessive_nesting,
    clippy::too_many_arguments,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::needless_pass_by_ref_mut,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a step that cannot go on must stop its scenario"
)]

#[path = "features/steps/mod.rs"]
mod steps;

use std::{path::Path, process::ExitCode, sync::Arc};

use cucumber::{World as _, writer::Stats as _};
use steps::{Stage, World};
use testkit::{Missing, ci, entree::Backend, mail::Mailbox, mailpit::Mailpit, smtp::Sink};

const RUNS: [(&str, Backend, bool); 4] = [
    ("embedded", Backend::Embedded, false),
    ("servers", Backend::Servers, false),
    ("two", Backend::Two, false),
    ("mailpit", Backend::Embedded, true),
];

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let wanted = std::env::var("BDD").unwrap_or_default();
    let mut lines = Vec::new();
    let mut failed = false;
    for (name, backend, mailpit) in RUNS {
        if !wanted.is_empty() && !wanted.split(',').any(|one| one == name) {
            continue;
        }
        let line = match runtime.block_on(run(name, backend, mailpit)) {
            Ok((passed, wrong)) => {
                failed |= wrong > 0 || passed == 0;
                format!("bdd {name}: {passed} passed, {wrong} failed")
            }
            Err(missing) => {
                failed |= ci();
                format!("bdd {name}: skipped ({missing})")
            }
        };
        println!("{line}");
        lines.push(line);
    }
    println!("\n{}", lines.join("\n"));
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// One pass over the features; gives how many scenarios passed and how many did not.
async fn run(
    name: &'static str,
    backend: Backend,
    on_mailpit: bool,
) -> Result<(usize, usize), Missing> {
    let (post, smtp): (Arc<dyn Mailbox>, _) = if on_mailpit {
        let mailpit = Mailpit::start().await?;
        let smtp = mailpit.smtp();
        (Arc::new(mailpit), smtp)
    } else {
        let sink = Sink::start().await;
        let smtp = sink.address();
        (Arc::new(sink), smtp)
    };
    let clock = testkit::entree::faketime();
    if let Err(missing) = &clock {
        println!("bdd {name}: scenarios tagged @clock skipped ({missing})");
        if ci() {
            return Err(missing.clone());
        }
    }
    steps::set(Some(Arc::new(Stage::start(backend, post, smtp).await?)));
    let tag = std::env::var("BDD_TAG").unwrap_or_default();
    let wanted = tag.trim_start_matches('@').to_owned();
    let has_clock = clock.is_ok();
    let writer = World::cucumber()
        .max_concurrent_scenarios(16)
        .fail_on_skipped()
        .with_default_cli()
        .filter_run(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/features"),
            move |feature, rule, scenario| {
                let rule = rule.map(|rule| rule.tags.iter()).into_iter().flatten();
                let tags: Vec<&String> = feature
                    .tags
                    .iter()
                    .chain(rule)
                    .chain(&scenario.tags)
                    .collect();
                let has = |tag: &str| tags.iter().any(|one| *one == tag);
                (wanted.is_empty() || has(&wanted))
                    && (has_clock || !has("clock"))
                    && (!has("servers") || backend == Backend::Servers)
                    && (!on_mailpit || (has("mail") && !has("sink")))
            },
        )
        .await;
    steps::set(None);
    let scenarios = *writer.scenarios_stats();
    let wrong =
        scenarios.failed + scenarios.skipped + writer.parsing_errors() + writer.hook_errors();
    Ok((scenarios.passed, wrong))
}
