//! A TCP proxy: spreads connections over copies of the service in turn, and breaks them on demand.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passed on.
    Ok,
    /// Passed on, each piece later by this much.
    Latency(Duration),
    /// Accepted, then silence; those that are open fall silent too.
    Blackhole,
    /// Not accepted: nothing listens.
    Refuse,
    /// Accepted and reset at once; those that are open are cut.
    Reset,
    /// Cut after so many bytes of answer.
    Cut(usize),
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The proxy. Dropping it closes the port.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<Target>>>,
    mode: watch::Sender<Mode>,
    muted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Wire {
    /// Listens on a free port of the loopback interface; passes nothing on until it has targets.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let targets = Arc::new(Mutex::new(Vec::new()));
        let (mode, watched) = watch::channel(Mode::Ok);
        let muted = Arc::new(AtomicUsize::new(0));
        let (aims, silence) = (Arc::clone(&targets), Arc::clone(&muted));
        let task = tokio::spawn(serve(listener, aims, watched, silence));
        Self {
            address,
            targets,
            mode,
            muted,
            task,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whom new connections go to, in turn.
    pub fn aim(&self, targets: Vec<SocketAddr>) {
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) =
            targets.into_iter().map(Target::Tcp).collect();
    }

    /// The same with a server that listens on a socket in a directory. Connections that are open stay.
    pub fn aim_at_socket(&self, socket: PathBuf) {
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = vec![Target::Unix(socket)];
    }

    /// Connections that are open fall silent for good, as when the machine behind them vanishes; new ones are passed
    /// on.
    pub fn mute(&self) {
        self.muted.fetch_add(1, Ordering::SeqCst);
    }

    /// Changes what happens, also to connections that are open.
    pub fn set(&self, mode: Mode) {
        let _ = self.mode.send(mode);
    }
}

/// What can happen to one connection.
#[derive(Clone)]
struct Fate {
    mode: watch::Receiver<Mode>,
    muted: Arc<AtomicUsize>,
    /// How often all connections had been muted when this one was opened.
    born: usize,
}

impl Fate {
    fn is_muted(&self) -> bool {
        self.muted.load(Ordering::SeqCst) > self.born
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn bound(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn serve(
    listener: TcpListener,
    targets: Arc<Mutex<Vec<Target>>>,
    mut mode: watch::Receiver<Mode>,
    muted: Arc<AtomicUsize>,
) {
    let address = listener.local_addr().expect("its address");
    let mut listener = Some(listener);
    // Bound and not listening: it refuses, and no other process gets the port meanwhile.
    let mut closed = None;
    let turn = AtomicUsize::new(0);
    loop {
        if *mode.borrow() == Mode::Refuse {
            listener = None;
            closed = closed.or_else(|| bound(address).ok());
        } else if listener.is_none() {
            listener = match closed.take() {
                Some(socket) => socket.listen(1024).ok(),
                None => TcpListener::bind(address).await.ok(),
            };
        }
        let Some(open) = &listener else {
            if mode.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            changed = mode.changed() => if changed.is_err() { return },
            accepted = open.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let all = targets.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if all.is_empty() { continue }
                let target = all[turn.fetch_add(1, Ordering::Relaxed) % all.len()].clone();
                let fate = Fate {
                    mode: mode.clone(),
                    born: muted.load(Ordering::SeqCst),
                    muted: Arc::clone(&muted),
                };
                tokio::spawn(carry(client, target, fate));
            }
        }
    }
}

async fn carry(client: TcpStream, target: Target, fate: Fate) {
    if *fate.mode.borrow() == Mode::Reset {
        let _ = client.set_zero_linger();
        return;
    }
    let _ = client.set_nodelay(true);
    match target {
        Target::Tcp(address) => {
            let Some(server) = connect(&client, address).await else {
                return;
            };
            let _ = server.set_nodelay(true);
            relay(client, server.into_split(), fate).await;
        }
        Target::Unix(socket) => {
            if let Ok(server) = UnixStream::connect(socket).await {
                relay(client, server.into_split(), fate).await;
            }
        }
    }
}

async fn relay<R, W>(client: TcpStream, server: (R, W), fate: Fate)
where
    R: AsyncReadExt + Unpin,
    W: AsyncWriteExt + Unpin,
{
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server);
    let up = pump(&mut from_client, &mut to_server, fate.clone(), false);
    let down = pump(&mut from_server, &mut to_client, fate.clone(), true);
    let mut mode = fate.mode.clone();
    let broken = async {
        while !matches!(*mode.borrow_and_update(), Mode::Refuse | Mode::Reset) {
            if mode.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        _ = async { tokio::join!(up, down) } => {}
        () = broken => {}
    }
}

/// Connects from the client's own address where it is not the usual one, so that the service sees each
/// loopback address as the network that it stands for.
async fn connect(client: &TcpStream, target: SocketAddr) -> Option<TcpStream> {
    let peer = client.peer_addr().ok()?;
    if peer.ip() == IpAddr::from([127, 0, 0, 1]) {
        return TcpStream::connect(target).await.ok();
    }
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::new(peer.ip(), 0)).ok()?;
    socket.connect(target).await.ok()
}

async fn pump<R, W>(from: &mut R, to: &mut W, fate: Fate, answer: bool)
where
    R: AsyncReadExt + Unpin,
    W: AsyncWriteExt + Unpin,
{
    let mut mode = fate.mode.clone();
    let mut buffer = vec![0; 16 * 1024];
    let mut passed = 0;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        while *mode.borrow_and_update() == Mode::Blackhole {
            if mode.changed().await.is_err() {
                return;
            }
        }
        if fate.is_muted() {
            break;
        }
        let now = *mode.borrow();
        if let Mode::Latency(by) = now {
            tokio::time::sleep(by).await;
        }
        let keep = if let (Mode::Cut(most), true) = (now, answer) {
            read.min(most.saturating_sub(passed))
        } else {
            read
        };
        if to.write_all(&buffer[..keep]).await.is_err() || keep < read {
            break;
        }
        passed += keep;
    }
    if fate.is_muted() {
        return std::future::pending().await;
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn named(name: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(name).await;
            }
        });
        address
    }

    async fn read(wire: &Wire) -> std::io::Result<Vec<u8>> {
        read_within(wire, Duration::from_secs(20)).await
    }

    async fn read_within(wire: &Wire, limit: Duration) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(wire.address()).await?;
        let mut all = Vec::new();
        tokio::time::timeout(limit, stream.read_to_end(&mut all)).await??;
        Ok(all)
    }

    #[tokio::test]
    async fn spreads_connections_and_breaks_them() {
        let wire = Wire::start().await;
        wire.aim(vec![named(b"one").await, named(b"two").await]);
        assert_eq!(
            (read(&wire).await.unwrap(), read(&wire).await.unwrap()),
            (b"one".to_vec(), b"two".to_vec())
        );
        wire.set(Mode::Cut(2));
        assert_eq!(read(&wire).await.unwrap(), b"on");
        wire.set(Mode::Blackhole);
        assert_eq!(
            read_within(&wire, Duration::from_millis(300))
                .await
                .unwrap_err()
                .kind(),
            std::io::ErrorKind::TimedOut
        );
        wire.set(Mode::Refuse);
        let refused = || async {
            read(&wire)
                .await
                .err()
                .filter(|e| e.kind() == std::io::ErrorKind::ConnectionRefused)
        };
        crate::until("a refusal", Duration::from_secs(20), refused)
            .await
            .unwrap();
        wire.set(Mode::Ok);
        let again = || async { read(&wire).await.ok().filter(|text| text.len() == 3) };
        crate::until("service again", Duration::from_secs(20), again)
            .await
            .unwrap();
    }
}
