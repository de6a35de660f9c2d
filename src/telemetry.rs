//! The log: one line for each event, as JSON or for a terminal, with a level that changes while the
//! service runs. [`metrics`] has the metrics, [`trace`] the traces.
//!
//! Crates that print what they transfer (emails with their links, statements, headers) are capped at
//! warnings, whatever the level says: the cap is a separate filter that no directive reaches.

pub mod metrics;
pub mod trace;

use std::{fmt, io};

use serde::Deserialize;
use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, filter_fn},
    layer::SubscriberExt as _,
    reload,
    util::SubscriberInitExt as _,
};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Colours and columns, for a terminal.
    Pretty,
}

/// The targets of this service, which alone follow the level down to TRACE.
const OURS: [&str; 3] = ["entree", "entity", "migration"];

/// Crates that print what they transfer below WARN: lettre whole emails at DEBUG, sqlx statements, hyper,
/// h2, redis and rustls bytes. Their warnings pass.
const WIRE: [&str; 16] = [
    "sqlx",
    "sqlx_core",
    "sqlx_postgres",
    "sqlx_sqlite",
    "sea_orm",
    "sea_orm_migration",
    "sea_schema",
    "lettre",
    "hyper",
    "hyper_util",
    "h2",
    "rustls",
    "tokio_rustls",
    "redis",
    "reqwest",
    "poem",
];

/// Returns the most verbose level of a target, whatever the filter says.
fn cap(target: &str) -> LevelFilter {
    let root = target.split("::").next().unwrap_or(target);
    if OURS.contains(&root) {
        LevelFilter::TRACE
    } else if WIRE.contains(&root) {
        LevelFilter::WARN
    } else {
        LevelFilter::INFO
    }
}

fn is_within_cap(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= cap(metadata.target())
}

/// Parses a filter such as `info` or `info,entree=debug`.
///
/// # Errors
/// The problem, as the end of a sentence about the key.
pub fn parse_level(level: &str) -> Result<EnvFilter, String> {
    if level.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    // A bare word that is not a level would count as a target and silence all others.
    let bare = |part: &&str| !part.contains('=') && part.parse::<LevelFilter>().is_err();
    if let Some(part) = level.split(',').map(str::trim).find(bare) {
        return Err(format!(
            "has `{part}`, which is not a level: use error, warn, info, debug, trace or off"
        ));
    }
    EnvFilter::builder()
        .parse(level)
        .map_err(|error| error.to_string())
}

/// A handle to the level of the running log. Clones share it.
#[derive(Clone)]
pub struct Logs {
    level: reload::Handle<EnvFilter, Registry>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}

impl Logs {
    /// Applies another filter. One that cannot be parsed changes nothing and is logged.
    pub fn set_level(&self, level: &str) {
        match parse_level(level) {
            Ok(filter) => {
                if let Err(error) = self.level.reload(filter) {
                    tracing::error!(%error, "the log level could not be changed");
                }
            }
            Err(error) => tracing::error!(%error, "the log level could not be read"),
        }
    }
}

/// Starts logging to standard output, once a process, and logs panics.
///
/// # Errors
/// The level cannot be parsed, or logging was started already.
pub fn init(format: LogFormat, level: &str) -> Result<Logs, String> {
    let (layer, logs) = layer(format, level, io::stdout)?;
    tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .map_err(|error| error.to_string())?;
    log_panics();
    Ok(logs)
}

/// The layer that writes lines to `writer`, and the handle to its level.
fn layer<W>(
    format: LogFormat,
    level: &str,
    writer: W,
) -> Result<(Box<dyn Layer<Registry> + Send + Sync>, Logs), String>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let (level, handle) = reload::Layer::new(parse_level(level)?);
    let filter = level.and(filter_fn(is_within_cap));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json => Box::new(
            lines
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_filter(filter),
        ),
        LogFormat::Pretty => {
            let ansi = io::IsTerminal::is_terminal(&io::stdout())
                && std::env::var_os("NO_COLOR").is_none();
            Box::new(lines.compact().with_ansi(ansi).with_filter(filter))
        }
    };
    Ok((layer, Logs { level: handle }))
}

/// Makes a panic one log line: where, and no word of what, since a payload may hold input.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "panicked");
    }));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn with_level(level: &str, act: impl FnOnce(&Logs)) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let (layer, logs) = layer(LogFormat::Json, level, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            act(&logs)
        });
        lines.text()
    }

    fn speak() {
        tracing::trace!("ours at trace");
        tracing::debug!(target: "lettre::transport::smtp", "WIRE Wrote: link");
        tracing::trace!(target: "lettre", "WIRE");
        tracing::info!(target: "sqlx::query", "WIRE select");
        tracing::debug!(target: "sqlx::postgres::notice", "WIRE");
        tracing::debug!(target: "sea_orm::driver", "WIRE");
        tracing::trace!(target: "hyper::proto::h1", "WIRE");
        tracing::debug!(target: "h2::codec", "WIRE");
        tracing::trace!(target: "redis::parser", "WIRE");
        tracing::trace!(target: "rustls::client", "WIRE");
        tracing::debug!(target: "some_new_crate", "WIRE");
        tracing::warn!(target: "lettre", "a warning");
        tracing::info!(target: "some_new_crate", "news");
    }

    #[test]
    fn trace_never_opens_the_wire() {
        for level in [
            "trace",
            "trace,lettre=trace,sqlx::query=trace,hyper::proto=trace",
            "off,sqlx=trace,entree=trace",
        ] {
            let text = with_level(level, |_| speak());
            assert!(!text.contains("WIRE"), "{level}: {text}");
            assert!(text.contains("ours at trace"), "{level}: {text}");
        }
        let text = with_level("trace", |_| speak());
        assert!(
            text.contains("a warning") && text.contains("news"),
            "{text}"
        );
    }

    #[test]
    fn the_level_changes_while_running_and_the_caps_stay() {
        let text = with_level("info", |logs| {
            tracing::debug!("before");
            logs.set_level("trace");
            tracing::debug!("after");
            speak();
            logs.set_level("[[[");
            tracing::debug!("still");
        });
        assert!(
            !text.contains("before") && text.contains("after") && text.contains("still"),
            "{text}"
        );
        assert!(!text.contains("WIRE"), "{text}");
    }

    #[test]
    fn a_panic_is_logged_without_its_payload() {
        let text = with_level("info", |_| {
            let before = std::panic::take_hook();
            log_panics();
            let caught = std::panic::catch_unwind(|| std::panic::panic_any("hunter2".to_owned()));
            std::panic::set_hook(before);
            assert!(caught.is_err());
        });
        assert!(
            text.contains("panicked") && text.contains("telemetry.rs") && !text.contains("hunter2"),
            "{text}"
        );
    }

    #[test]
    fn levels_are_read_strictly() {
        assert!(parse_level("info,entree=debug").is_ok());
        assert!(parse_level("warn").is_ok() && parse_level("entree=debug, info").is_ok());
        for bad in ["", " ", "entree=loud", "info,,==", "loud", "info,entree"] {
            assert!(parse_level(bad).is_err(), "{bad:?}");
        }
        assert!(tracing::Level::INFO <= cap("anything"));
    }
}
