//! A mail server in the test process: keeps every email, and misbehaves for chosen addresses (RFC 5321).

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

use crate::{
    Boxed,
    mail::{Fault, Mail, Mailbox},
};

/// How long it says nothing where it hangs; the client's own time-out ends that.
const LONGER_THAN_CLIENTS_WAIT: Duration = Duration::from_secs(600);

/// The server. Dropping it closes the port.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    arrivals: Arc<Notify>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    emails: HashMap<String, Vec<Mail>>,
    faults: HashMap<String, Fault>,
    attempts: HashMap<String, usize>,
    /// How long each email takes.
    pause: Duration,
}

impl Sink {
    /// Listens on a free port of the loopback interface.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(Mutex::new(State::default()));
        let arrivals = Arc::new(Notify::new());
        let (shared, arrived) = (Arc::clone(&state), Arc::clone(&arrivals));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Nagle's algorithm against delayed receipts costs 40 ms an email.
                let _ = stream.set_nodelay(true);
                let (shared, arrived) = (Arc::clone(&shared), Arc::clone(&arrived));
                tokio::spawn(async move {
                    let _ = Talk::new(stream, shared, arrived).run().await;
                });
            }
        });
        Self {
            address,
            state,
            arrivals,
            task,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes that long for each email from now on, as a busy relay does.
    pub fn slow_down(&self, by: Duration) {
        self.lock().pause = by;
    }

    /// How many emails it has kept.
    #[must_use]
    pub fn total(&self) -> usize {
        self.lock().emails.values().map(Vec::len).sum()
    }

    /// Waits for an email to an address, and keeps none of it: loads would fill the memory.
    pub async fn take(&self, address: &str, patience: Duration) -> Option<Mail> {
        let waits = async {
            loop {
                let arrival = self.arrivals.notified();
                let taken = self.lock().emails.remove(address);
                if let Some(mail) = taken.and_then(|mut all| all.pop()) {
                    return mail;
                }
                arrival.await;
            }
        };
        tokio::time::timeout(patience, waits).await.ok()
    }

    /// Forgets every email that has arrived.
    pub fn clear(&self) {
        self.lock().emails.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mailbox for Sink {
    fn all<'a>(&'a self, address: &'a str) -> Boxed<'a, Vec<Mail>> {
        Box::pin(async move { self.lock().emails.get(address).cloned().unwrap_or_default() })
    }

    fn fault(&self, address: &str, fault: Option<Fault>) -> Result<(), String> {
        let mut state = self.lock();
        match fault {
            Some(fault) => state.faults.insert(address.to_owned(), fault),
            None => state.faults.remove(address),
        };
        Ok(())
    }

    fn attempts(&self, address: &str) -> usize {
        self.lock()
            .attempts
            .get(address)
            .copied()
            .unwrap_or_default()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Talk {
    stream: BufReader<TcpStream>,
    state: Arc<Mutex<State>>,
    arrivals: Arc<Notify>,
    to: Vec<String>,
}

enum Next {
    Go,
    Stop,
}

impl Talk {
    fn new(stream: TcpStream, state: Arc<Mutex<State>>, arrivals: Arc<Notify>) -> Self {
        Self {
            stream: BufReader::new(stream),
            state,
            arrivals,
            to: Vec::new(),
        }
    }

    async fn run(mut self) -> std::io::Result<()> {
        self.say("220 sink ESMTP").await?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let upper = line.trim_end().to_ascii_uppercase();
            let next = match upper.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => self.say("250-sink\r\n250-8BITMIME\r\n250 SMTPUTF8").await?,
                "HELO" | "NOOP" => self.say("250 ok").await?,
                "MAIL" | "RSET" => {
                    self.to.clear();
                    self.say("250 ok").await?
                }
                "RCPT" => self.recipient(&line).await?,
                "DATA" => self.email().await?,
                "QUIT" => {
                    self.say("221 bye").await?;
                    Next::Stop
                }
                _ => self.say("502 unknown").await?,
            };
            if matches!(next, Next::Stop) {
                return Ok(());
            }
        }
    }

    async fn say(&mut self, line: &str) -> std::io::Result<Next> {
        self.stream
            .write_all(format!("{line}\r\n").as_bytes())
            .await?;
        self.stream.flush().await?;
        Ok(Next::Go)
    }

    async fn recipient(&mut self, line: &str) -> std::io::Result<Next> {
        let address = line
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map(|(a, _)| a.to_owned());
        let Some(address) = address else {
            return self.say("501 address").await;
        };
        *lock(&self.state)
            .attempts
            .entry(address.clone())
            .or_default() += 1;
        match self.fault_of(&address) {
            Some(Fault::Refuse) => self.say("550 5.1.1 no such mailbox").await,
            Some(Fault::Later) => self.say("451 4.7.1 try again later").await,
            Some(Fault::Closing) => {
                self.say("421 4.3.2 closing").await?;
                Ok(Next::Stop)
            }
            Some(Fault::StallAtRecipient) => {
                tokio::time::sleep(LONGER_THAN_CLIENTS_WAIT).await;
                Ok(Next::Stop)
            }
            _ => {
                self.to.push(address);
                self.say("250 ok").await
            }
        }
    }

    async fn email(&mut self) -> std::io::Result<Next> {
        if self.to.is_empty() {
            return self.say("503 no recipient").await;
        }
        let fault = self.to.iter().find_map(|address| self.fault_of(address));
        self.say("354 go on").await?;
        if fault == Some(Fault::Stall) {
            tokio::time::sleep(LONGER_THAN_CLIENTS_WAIT).await;
            return Ok(Next::Stop);
        }
        let mut raw: Vec<u8> = Vec::new();
        let mut line: Vec<u8> = Vec::new();
        loop {
            line.clear();
            if self.stream.read_until(b'\n', &mut line).await? == 0
                || fault == Some(Fault::DropInData)
            {
                return Ok(Next::Stop);
            }
            if line == b".\r\n" {
                break;
            }
            // RFC 5321 §4.5.2: a leading dot was doubled.
            raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        let pause = lock(&self.state).pause;
        tokio::time::sleep(pause).await;
        for address in std::mem::take(&mut self.to) {
            let mail = Mail::parse(&address, &raw);
            lock(&self.state)
                .emails
                .entry(address)
                .or_default()
                .push(mail);
        }
        self.arrivals.notify_waiters();
        if fault == Some(Fault::DropAfterData) {
            return Ok(Next::Stop);
        }
        self.say("250 kept").await
    }

    fn fault_of(&self, address: &str) -> Option<Fault> {
        lock(&self.state).faults.get(address).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn talk(sink: &Sink, lines: &[&str]) -> Vec<String> {
        let mut stream = BufReader::new(TcpStream::connect(sink.address()).await.unwrap());
        let mut answers = Vec::new();
        let mut answer = String::new();
        stream.read_line(&mut answer).await.unwrap();
        for line in lines {
            stream
                .write_all(format!("{line}\r\n").as_bytes())
                .await
                .unwrap();
            answer.clear();
            stream.read_line(&mut answer).await.unwrap();
            answers.push(answer.trim_end().to_owned());
        }
        answers
    }

    #[tokio::test]
    async fn keeps_emails_and_undoubles_dots() {
        let sink = Sink::start().await;
        let answers = talk(
            &sink,
            &[
                "HELO x",
                "MAIL FROM:<a@x>",
                "RCPT TO:<b@x>",
                "DATA",
                "Subject: hi\r\n\r\n..dot\r\n.",
            ],
        )
        .await;
        assert_eq!(answers[4], "250 kept");
        let mails = sink.wait("b@x", 1, Duration::from_secs(5)).await.unwrap();
        assert_eq!(
            (mails[0].subject.as_str(), mails[0].text.trim()),
            ("hi", ".dot")
        );
    }

    #[tokio::test]
    async fn an_email_that_is_taken_is_not_kept() {
        let sink = Sink::start().await;
        let patience = Duration::from_secs(5);
        let lines = [
            "HELO x",
            "MAIL FROM:<a@x>",
            "RCPT TO:<b@x>",
            "DATA",
            "Subject: hi\r\n\r\n.",
        ];
        let (taken, _) = tokio::join!(sink.take("b@x", patience), talk(&sink, &lines));
        assert_eq!(taken.unwrap().to, "b@x");
        assert_eq!(sink.total(), 0);
        assert!(sink.take("b@x", Duration::ZERO).await.is_none());
    }

    #[tokio::test]
    async fn faults_touch_one_address_only() {
        let sink = Sink::start().await;
        sink.fault("bad@x", Some(Fault::Refuse)).unwrap();
        let answers = talk(
            &sink,
            &[
                "HELO x",
                "MAIL FROM:<a@x>",
                "RCPT TO:<bad@x>",
                "RCPT TO:<good@x>",
            ],
        )
        .await;
        assert!(
            answers[2].starts_with("550") && answers[3].starts_with("250"),
            "{answers:?}"
        );
        assert_eq!((sink.attempts("bad@x"), sink.attempts("good@x")), (1, 1));
    }
}
