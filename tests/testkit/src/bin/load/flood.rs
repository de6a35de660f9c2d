//! Code flows beside a flood of requests for emails (SP-4).

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use testkit::{
    Missing,
    driver::{
        closed_loop::{Caller, Window, run},
        email_sign_in::{EmailSignIn, People},
        figures::{Figures, Outcome, percentile},
        provider::Work,
        report::{Table, caption, publish, ratio, whole},
        subject::{Subject, words},
        worker::Worker,
    },
    entree::Backend,
};

use crate::{failures, ms, not_measured, options::Options, window};

/// Connections that request emails.
const FLOOD: usize = 200;

pub(crate) async fn measure(options: &Options) {
    let mut table = Table::new([
        "back end",
        "beside",
        "code flows a second",
        "to calm",
        "p99 ms",
        "to calm",
        "requests of the flood a second",
        "of them 503",
        "503 after ms, p99",
    ]);
    let mut notes = String::new();
    for backend in options.backends.iter().copied() {
        match Flood::start(options, backend).await {
            Ok(flood) => notes.push_str(&flood.rows(&mut table).await),
            Err(missing) => notes.push_str(&not_measured(backend, &missing)),
        }
    }
    let text = format!(
        "{}\n{} callers with code flows, {FLOOD} connections of the flood, each of a network of its own, {} s each.\n\n\
         {}\n{notes}",
        caption(&options.binary),
        options.callers,
        options.time.as_secs(),
        table.markdown()
    );
    publish("flood", &text);
}

struct Flood {
    subject: Subject,
    workers: Vec<Worker>,
    window: Window,
}

impl Flood {
    async fn start(options: &Options, backend: Backend) -> Result<Self, Missing> {
        let subject = Subject::start(&options.binary, backend).await?;
        let mut workers = Vec::new();
        let sessions = subject.sessions(options.callers).await;
        for (number, session) in (0x0c00_u32..).zip(&sessions) {
            let provider = Arc::clone(&subject.provider);
            let worker = Worker::new(provider, Work::CodeFlow, session).await;
            let worker = worker.expect("a code flow");
            workers.push(worker.at_address(Ipv4Addr::from(number << 16)));
        }
        Ok(Self {
            subject,
            workers,
            window: window(options.time),
        })
    }

    async fn rows(self, table: &mut Table) -> String {
        let back_end = words(self.subject.backend);
        let (mut workers, calm) = run(self.workers, self.window, &[]).await;
        table.row(row(back_end, "nothing", &calm, &calm, None));
        let mut notes = failures("calm", &calm);
        for (name, waits) in [
            ("a flood that waits as Retry-After says", true),
            ("a flood that comes again at once", false),
        ] {
            let flood: Vec<Flooder> = (0..FLOOD)
                .map(|_| Flooder {
                    request: self
                        .subject
                        .email_sign_in(People::New)
                        .only_requests_again(),
                    waits,
                })
                .collect();
            let ((back, figures), (_, flood)) =
                tokio::join!(run(workers, self.window, &[]), run(flood, self.window, &[]));
            workers = back;
            table.row(row(back_end, name, &figures, &calm, Some(&flood)));
            notes.push_str(&failures(name, &figures));
            notes.push_str(&failures("the flood", &flood));
            self.subject.sink.clear();
        }
        notes
    }
}

fn row(
    back_end: &str,
    beside: &str,
    figures: &Figures,
    calm: &Figures,
    flood: Option<&Figures>,
) -> [String; 9] {
    let p99 = |figures: &Figures| percentile(&figures.done, 99);
    let flooded = flood.map_or_else(
        || ["–", "–", "–"].map(str::to_owned),
        |flood| {
            let all = flood.done.len() + flood.shed.len() + flood.failures();
            #[allow(clippy::cast_precision_loss, reason = "a count of requests")]
            let rate = all as f64 / flood.wall.as_secs_f64();
            let share = flood.shed_share() * 100.0;
            [whole(rate), format!("{share:.0} %"), ms(&flood.shed, 99)]
        },
    );
    let [rate, share, after] = flooded;
    [
        back_end.to_owned(),
        beside.to_owned(),
        whole(figures.rate()),
        ratio(Some(figures.rate()), Some(calm.rate())),
        ms(&figures.done, 99),
        ratio(p99(figures), p99(calm)),
        rate,
        share,
        after,
    ]
}

/// One connection of the flood.
struct Flooder {
    request: EmailSignIn,
    waits: bool,
}

impl Caller for Flooder {
    async fn operate(&mut self) -> Outcome {
        match self.request.operate().await {
            Outcome::Shed { took, .. } if !self.waits => Outcome::Shed {
                took,
                pause: Duration::ZERO,
            },
            outcome => outcome,
        }
    }
}
