//! A mail server that does what the recipient's name says.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// `try421` and the like are the reply to RCPT, `data451` and the like to the message. `stall`, `stall-…` and
/// `hangup` happen at RCPT. `cutindata` hangs up within the message, `cutafterdata` after it without a reply, and
/// `stallafterdata` sends no reply.
pub(super) struct SmtpSink {
    pub(super) port: u16,
    mails: Arc<Mutex<Vec<(String, String)>>>,
    stalled: Arc<Notify>,
    commands: Arc<Mutex<Vec<String>>>,
    is_frozen: Arc<AtomicBool>,
}

pub(super) async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl SmtpSink {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mails, stalled, commands) = (Arc::default(), Arc::new(Notify::new()), Arc::default());
        let is_frozen: Arc<AtomicBool> = Arc::default();
        let frozen = Arc::clone(&is_frozen);
        let sink = Self {
            port,
            mails: Arc::clone(&mails),
            stalled: Arc::clone(&stalled),
            commands: Arc::clone(&commands),
            is_frozen,
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let talk = serve(
                    stream,
                    Arc::clone(&mails),
                    Arc::clone(&stalled),
                    Arc::clone(&commands),
                    Arc::clone(&frozen),
                );
                tokio::spawn(talk);
            }
        });
        sink
    }

    pub(super) fn mails(&self) -> Vec<(String, String)> {
        self.mails.lock().unwrap().clone()
    }

    pub(super) fn received(&self, command: &str) -> bool {
        self.commands
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.starts_with(command))
    }

    /// Lets the server say nothing at all, or go on where it was.
    pub(super) fn freeze(&self, is_frozen: bool) {
        self.is_frozen.store(is_frozen, Ordering::SeqCst);
    }

    pub(super) async fn stalled(&self) {
        self.stalled.notified().await;
    }
}

async fn thawed(is_frozen: &AtomicBool) {
    while is_frozen.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn serve(
    stream: TcpStream,
    mails: Arc<Mutex<Vec<(String, String)>>>,
    stalled: Arc<Notify>,
    commands: Arc<Mutex<Vec<String>>>,
    is_frozen: Arc<AtomicBool>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    thawed(&is_frozen).await;
    stream.write_all(b"220 sink\r\n").await.ok()?;
    let mut to = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        thawed(&is_frozen).await;
        commands.lock().unwrap().push(line.clone());
        let reply = match line.get(..4)?.to_ascii_uppercase().as_str() {
            "RCPT" => {
                to = line.split(['<', '>']).nth(1)?.to_owned();
                match to.split('@').next()? {
                    name if name == "stall" || name.starts_with("stall-") => {
                        stalled.notify_one();
                        std::future::pending().await
                    }
                    "hangup" => return None,
                    name => name
                        .strip_prefix("try")
                        .map_or_else(|| "250".to_owned(), str::to_owned),
                }
            }
            "DATA" => {
                stream.write_all(b"354 go\r\n").await.ok()?;
                if to.starts_with("cutindata") {
                    stream.read_exact(&mut [0; 10]).await.ok()?;
                    return None;
                }
                let mut message = String::new();
                while !message.ends_with("\r\n.\r\n") {
                    stream.read_line(&mut message).await.ok()?;
                }
                let name = to.split('@').next()?;
                match name {
                    "cutafterdata" => return None,
                    "stallafterdata" => std::future::pending().await,
                    _ => {}
                }
                let code = name.strip_prefix("data").unwrap_or("250").to_owned();
                if code == "250" {
                    mails.lock().unwrap().push((to.clone(), message));
                }
                code
            }
            "QUIT" => "221".to_owned(),
            _ => "250".to_owned(),
        };
        stream
            .write_all(format!("{reply} said\r\n").as_bytes())
            .await
            .ok()?;
    }
}
