//! Each endpoint by itself, whole sign-ins by email, and memory.

use std::{sync::Arc, time::Duration};

use testkit::driver::{
    closed_loop::{Caller, run},
    connection::Connection,
    email_sign_in::People,
    figures::{Figures, Outcome},
    process,
    provider::{Session, Work},
    report::{Table, caption, cell, publish, whole},
    subject::{Subject, words},
    worker::Worker,
};

use crate::{failures, mib, ms, not_measured, options::Options, window};

/// Work of clients, in the order of the table.
const WORKS: [Work; 7] = [
    Work::Discovery,
    Work::Authorize,
    Work::CodeFlow,
    Work::Userinfo,
    Work::Refresh,
    Work::ClientCredentials,
    Work::Introspection,
];

pub(crate) async fn measure(options: &Options) {
    let mut text = format!(
        "{}\n{} callers, {} s each.\n",
        caption(&options.binary),
        options.callers,
        options.time.as_secs()
    );
    for backend in options.backends.iter().copied() {
        text.push_str(&match Subject::start(&options.binary, backend).await {
            Ok(subject) => Bench::new(options, subject).await.all().await,
            Err(missing) => not_measured(backend, &missing),
        });
    }
    publish("endpoints", &text);
}

struct Bench<'a> {
    options: &'a Options,
    subject: Subject,
    sessions: Vec<Session>,
    idle: u64,
    table: Table,
    notes: String,
}

impl<'a> Bench<'a> {
    async fn new(options: &'a Options, subject: Subject) -> Self {
        let idle = process::resident_kib(subject.pid());
        let sessions = subject.sessions(options.callers).await;
        Self {
            options,
            subject,
            sessions,
            idle,
            table: Table::new([
                "work",
                "a second",
                "p50 ms",
                "p99 ms",
                "CPU µs",
                "of the service",
                "of the driver",
            ]),
            notes: String::new(),
        }
    }

    async fn all(mut self) -> String {
        for path in ["/login", "/.well-known/jwks.json"] {
            let callers = self.each(|subject| Page::new(subject, path));
            self.phase(path, callers).await;
        }
        for work in WORKS {
            let callers = self.workers(work).await;
            self.phase(work.name(), callers).await;
        }
        let callers = self.each(|subject| subject.email_sign_in(People::New));
        self.phase("first sign-in by email, to the client's tokens", callers)
            .await;
        // Last, because the emails that it queues are still to be sent when it ends.
        let callers = self.each(|subject| subject.email_sign_in(People::New).only_requests());
        self.phase("`/login` and `POST /login/email`", callers)
            .await;
        let peak = process::peak_kib(self.subject.pid());
        let notes = if self.notes.is_empty() {
            "No operation failed.\n"
        } else {
            self.notes.as_str()
        };
        format!(
            "\n### {}\n\n{}\nMemory of the service: {} idle, {} at its peak.\n\n{notes}",
            words(self.subject.backend),
            self.table.markdown(),
            mib(self.idle),
            mib(peak),
        )
    }

    /// As many callers as were asked for.
    fn each<C>(&self, caller: impl Fn(&Subject) -> C) -> Vec<C> {
        (0..self.options.callers)
            .map(|_| caller(&self.subject))
            .collect()
    }

    async fn workers(&self, work: Work) -> Vec<Worker> {
        let mut workers = Vec::new();
        for session in &self.sessions {
            let provider = Arc::clone(&self.subject.provider);
            let worker = Worker::new(provider, work, session).await;
            workers.push(worker.unwrap_or_else(|why| panic!("{}: {why}", work.name())));
        }
        workers
    }

    async fn phase<C: Caller>(&mut self, name: &str, callers: Vec<C>) {
        let watched = &self.subject.provider.watched;
        let (callers, figures) = run(callers, window(self.options.time), watched).await;
        drop(callers);
        self.table.row(row(name, &figures));
        self.notes.push_str(&failures(name, &figures));
        if !figures.shed.is_empty() {
            let share = figures.shed_share() * 100.0;
            let note = format!("{name}: {share:.0} % refused with 503\n");
            self.notes.push_str(&note);
        }
    }
}

fn row(name: &str, figures: &Figures) -> [String; 7] {
    let micros = |number: f64| cell(Some(number), whole);
    [
        name.to_owned(),
        whole(figures.rate()),
        ms(&figures.done, 50),
        ms(&figures.done, 99),
        micros(figures.cpu_each()),
        micros(figures.cpu_each_of("server")),
        micros(figures.driver_each()),
    ]
}

/// A page without a session.
struct Page {
    connection: Connection,
    request: Vec<u8>,
}

impl Page {
    fn new(subject: &Subject, path: &str) -> Self {
        let target = &subject.provider.target;
        Self {
            connection: Connection::new(target.address),
            request: target.get(path, &[("Accept", "text/html")]),
        }
    }
}

impl Caller for Page {
    async fn operate(&mut self) -> Outcome {
        match self.connection.send(&self.request).await {
            Ok(response) if response.status == 200 => Outcome::Done,
            Ok(response) if response.status == 503 => Outcome::Shed {
                took: Duration::ZERO,
                pause: Duration::from_secs(response.retry_after.unwrap_or(1)),
            },
            Ok(response) => Outcome::Failed(response.status.to_string()),
            Err(error) => Outcome::Failed(format!("{:?}", error.kind())),
        }
    }
}
