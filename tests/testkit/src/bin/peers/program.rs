//! The programs of tests/peers: each starts one provider and prints a line of JSON (`report.mjs`).

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::Value;
use testkit::child::{self, RunAs};

/// How long a start may take: some are fetched and built by the first one.
const PATIENCE: Duration = Duration::from_secs(900);

/// A provider's program. Dropping it ends it, and with it all that it started.
pub(crate) struct Program {
    process: Child,
    folder: PathBuf,
    pub(crate) report: Report,
}

/// What it printed.
pub(crate) struct Report {
    pub(crate) version: String,
    pub(crate) issuer: String,
    pub(crate) pid: u32,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) scope: String,
    pub(crate) resource: Option<String>,
    pub(crate) works: Vec<String>,
    /// What a user enters at its pages. None: it signs users in without one.
    pub(crate) form: Option<Vec<(String, String)>>,
}

impl Program {
    /// Starts `tests/peers/SCRIPT`, and waits until it can be measured.
    ///
    /// # Errors
    /// It cannot be had here: says why.
    pub(crate) async fn start(
        command: &[&str],
        env: BTreeMap<&str, String>,
    ) -> Result<Self, String> {
        let node =
            child::find("node", &[]).ok_or("no node on PATH; scripts/setup.sh installs it")?;
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers");
        if !peers.join("node_modules").is_dir() {
            return Err(
                "no packages in tests/peers; scripts/setup.sh peers installs them".to_owned(),
            );
        }
        let folder = child::scratch("peer");
        let log = std::fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
        let mut program = child::command(node, RunAs::Us, "KILL");
        program
            .args(command)
            .envs(env)
            .env("NODE_ENV", "production")
            .current_dir(peers)
            .stdout(Stdio::piped())
            .stderr(log);
        let mut process = child::spawn(program).map_err(|error| error.to_string())?;
        let stdout = process.stdout.take().ok_or("no output")?;
        let first = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let found = lines.find(|line| line.starts_with('{'));
            // What it prints later must not fill the pipe.
            std::thread::spawn(move || lines.for_each(drop));
            found
        });
        let first = tokio::time::timeout(PATIENCE, first).await;
        let line = first.ok().and_then(Result::ok).flatten();
        let report = match line {
            Some(line) => Report::read(&line),
            None => Err(format!("it does not start: {}", end_of(&folder))),
        };
        match report {
            Ok(report) => Ok(Self {
                process,
                folder,
                report,
            }),
            Err(why) => {
                end(&mut process, &folder);
                Err(why)
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        end(&mut self.process, &self.folder);
    }
}

fn end(process: &mut Child, folder: &Path) {
    let _ = process.kill();
    let _ = process.wait();
    let _ = std::fs::remove_dir_all(folder);
}

/// The end of what it printed about its fault.
fn end_of(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" | ")
}

impl Report {
    fn read(line: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if let Some(reason) = json["missing"].as_str() {
            return Err(reason.to_owned());
        }
        let text = |name: &str| {
            let text = json[name].as_str().map(str::to_owned);
            text.ok_or_else(|| format!("no {name} in {line}"))
        };
        let works = json["works"].as_array().cloned().unwrap_or_default();
        let form = json["form"].as_object().map(|form| {
            form.iter()
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect()
        });
        Ok(Self {
            version: text("version")?,
            issuer: text("issuer")?,
            pid: json["pid"]
                .as_u64()
                .and_then(|pid| pid.try_into().ok())
                .ok_or("no pid")?,
            id: text("id")?,
            secret: text("secret")?,
            scope: text("scope")?,
            resource: text("resource").ok(),
            works: works
                .iter()
                .filter_map(|work| work.as_str().map(str::to_owned))
                .collect(),
            form,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_a_reason_is_passed_on() {
        let line = r#"{"version":"1","issuer":"http://127.0.0.1:1","pid":7,"id":"a","secret":"b","scope":"openid",
                       "works":["discovery"],"form":{"login":"degas"}}"#;
        let report = Report::read(line).unwrap();
        assert_eq!(
            (report.pid, report.works.len(), report.resource),
            (7, 1, None)
        );
        assert_eq!(
            report.form.unwrap(),
            [("login".to_owned(), "degas".to_owned())]
        );
        let reason = Report::read(r#"{"missing":"no java"}"#).err();
        assert_eq!(reason.as_deref(), Some("no java"));
        assert!(Report::read(r#"{"version":"1"}"#).is_err());
    }
}
