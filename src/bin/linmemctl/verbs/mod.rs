//! The verbs, one file each or a small group of kin, and which runs.
//!
//! Its law: a verb's file holds its arguments, its help with examples, and its doing.

pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod download;
pub(crate) mod grow;
pub(crate) mod hook;
pub(crate) mod list;
pub(crate) mod partition;
pub(crate) mod pipeline;
pub(crate) mod protect;
pub(crate) mod read;
pub(crate) mod reload;
pub(crate) mod remove;
pub(crate) mod scalar;
pub(crate) mod segment;
pub(crate) mod server;
pub(crate) mod set;
pub(crate) mod share;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod tenant;
pub(crate) mod token;
pub(crate) mod update;
pub(crate) mod upload;
pub(crate) mod verify;
pub(crate) mod view;
pub(crate) mod volatility;
pub(crate) mod wait;
pub(crate) mod watch;
pub(crate) mod write;

use crate::args::Verb;
use crate::failure::CtlError;
use crate::session::Session;

/// Runs a verb over a connection.
pub(crate) async fn run(verb: Verb, session: &Session) -> Result<(), CtlError> {
    match verb {
        Verb::Create(args) => create::run(*args, session).await,
        Verb::Ls(args) => list::run(args, session).await,
        Verb::Show(args) => show::run(args, session).await,
        Verb::Update(args) => update::run(args, session).await,
        Verb::Grow(args) => grow::run(args, session).await,
        Verb::Read(args) => read::run(args, session).await,
        Verb::Write(args) => write::run(args, session).await,
        Verb::Fill(args) => write::fill(args, session).await,
        Verb::Copy(args) => copy::run(args, session).await,
        Verb::Load(args) => scalar::load(args, session).await,
        Verb::Store(args) => scalar::store(args, session).await,
        Verb::Atomic(args) => scalar::atomic(args, session).await,
        Verb::Session(args) => pipeline::run(args, session).await,
        Verb::Discard(args) => write::discard(args, session).await,
        Verb::Protect(args) => protect::run(args, session).await,
        Verb::Volatile(args) => volatility::let_go(args, session).await,
        Verb::Nonvolatile(args) => volatility::keep(args, session).await,
        Verb::Verify(args) => verify::run(args, session).await,
        Verb::Wait(args) => wait::wait(args, session).await,
        Verb::Notify(args) => wait::notify(args, session).await,
        Verb::Upload(args) => upload::run(args, session).await,
        Verb::Download(args) => download::run(args, session).await,
        Verb::Dump(args) => read::dump(args, session).await,
        Verb::Rm(args) => remove::run(args, session).await,
        Verb::Keepalive(args) => remove::keepalive(args, session).await,
        Verb::Watch(args) => watch::run(args, session).await,
        Verb::Info(_) => server::info(session).await,
        Verb::Host(_) => server::host(session).await,
        Verb::Tenant(args) => tenant::run(args, session).await,
        Verb::Partition(args) => partition::run(*args, session).await,
        Verb::Segment(args) => segment::run(args, session).await,
        Verb::Init(args) => segment::init(args, session).await,
        Verb::Set(args) => set::run(args, session).await,
        Verb::View(args) => view::run(args, session).await,
        Verb::Share(args) => share::share(args, session).await,
        Verb::Shares(args) => share::shares(args, session).await,
        Verb::Mount(args) => share::mount(args, session).await,
        Verb::Unshare(args) => share::unshare(args, session).await,
        Verb::Stats(args) => stats::run(args, session).await,
        Verb::Hook(args) => hook::run(*args, session).await,
        Verb::Reload(args) => reload::run(args, session).await,
        Verb::Drain(_) => server::drain(session).await,
        Verb::Completions(args) => completions::run(&args, &session.output),
        // These run without a session and are taken before one is opened.
        Verb::Bench(_) | Verb::Context(_) | Verb::Token(_) => Ok(()),
    }
}
