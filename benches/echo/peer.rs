//! The two servers that are compared.
//!
//! Owns: starting linmemd and the plain server on free ports of the loopback, and their end. Law: a
//! server that this started is gone when its [`Peer`] is, whatever happened; linmemd must have
//! counted no panic and drain with exit code 0. Does not: talk gRPC (`check.rs`).

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Failure;

const PATIENCE: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(20);

/// One of the servers.
#[derive(Debug)]
pub(crate) struct Peer {
    /// How it is called in lines and JSON.
    pub(crate) name: &'static str,
    /// Where it serves: `http://ADDR`.
    pub(crate) url: String,
    started: Option<Started>,
}

#[derive(Debug)]
struct Started {
    child: Child,
    log: PathBuf,
    metrics: Option<SocketAddr>,
}

impl Peer {
    /// A server that somebody else started.
    pub(crate) fn running(name: &'static str, url: &str) -> Self {
        Self { name, url: url.to_owned(), started: None }
    }

    /// linmemd with its defaults, on ports of its own.
    pub(crate) fn linmemd(program: &Path, folder: &Path) -> Result<Self, Failure> {
        let (grpc, http) = (free_address()?, free_address()?);
        let config = folder.join("linmemd.toml");
        fs::write(
            &config,
            format!("[grpc]\nlisten = \"{grpc}\"\n\n[http]\nlisten = \"{http}\"\n"),
        )?;
        let mut command = Command::new(program);
        command.arg("--config").arg(config);
        Self::start("linmemd", command, folder, grpc, Some(http))
    }

    /// This program, as the plain server.
    pub(crate) fn echo(folder: &Path) -> Result<Self, Failure> {
        let grpc = free_address()?;
        let mut command = Command::new(env::current_exe()?);
        command.arg("serve").arg("--listen").arg(grpc.to_string());
        Self::start("echo", command, folder, grpc, None)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        folder: &Path,
        grpc: SocketAddr,
        metrics: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        let mut started = Started { child, log, metrics };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(grpc).is_err() {
            if let Some(status) = started.child.try_wait()? {
                return Err(format!("{name} ended at once ({status}):\n{}", started.tail()).into());
            }
            if Instant::now() > end {
                let log = started.tail();
                return Err(format!("{name} does not listen after {PATIENCE:?}:\n{log}").into());
            }
            thread::sleep(STEP);
        }
        Ok(Self { name, url: format!("http://{grpc}"), started: Some(started) })
    }

    /// The last lines that it logged, if this started it.
    pub(crate) fn log(&self) -> String {
        self.started.as_ref().map(Started::tail).unwrap_or_default()
    }

    /// Ends it. linmemd must have counted no panic and must drain; the plain server is killed.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let Some(mut started) = self.started.take() else { return Ok(()) };
        let Some(metrics) = started.metrics else { return Ok(()) };
        let page = scrape(metrics)?;
        if !page.lines().any(|line| line == "linmemd_panics_total 0") {
            return Err(format!("linmemd_panics_total is not 0:\n{}", started.tail()).into());
        }
        kill(Pid::from_raw(i32::try_from(started.child.id())?), Signal::SIGTERM)?;
        match started.ended()? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("linmemd ended with {status}:\n{}", started.tail()).into()),
            None => Err(format!("linmemd still runs {PATIENCE:?} after SIGTERM").into()),
        }
    }
}

impl Started {
    fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() > end {
                return Ok(status);
            }
            thread::sleep(STEP);
        }
    }

    fn tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// A port of the loopback that nobody has.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn scrape(address: SocketAddr) -> Result<String, Failure> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(connection, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    connection.read_to_string(&mut page)?;
    Ok(page)
}
