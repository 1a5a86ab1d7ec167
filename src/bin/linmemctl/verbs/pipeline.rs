//! `session`: operations typed or piped in, one a line, all of them in one session.
//!
//! Its law: a line is sent when it is read, without waiting for those before it, and answers come in the
//! order of the lines. A line that cannot be understood or is refused says so and stops nobody; at the
//! end the exit code tells that there was one.

use std::future::Future;
use std::pin::Pin;

use clap::{Args, Parser, Subcommand};
use futures_util::stream::{FuturesOrdered, StreamExt};
use linmemd::client::Attached;
use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::operation_result::Result as Answer;
use linmemd::client::proto::session_notice::Notice;
use linmemd::client::proto::{
    FillOperation, NotifyOperation, Operation, ReadOperation, SessionAttach, SizeOperation,
    WriteOperation,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::failure::CtlError;
use crate::hex;
use crate::session::{Session, Target};
use crate::size;
use crate::verbs::scalar::{self, Atomic, Load, Store};

/// Lines that have no answer yet.
const AT_ONCE: usize = 1_024;

/// Arguments of `session`.
#[derive(Debug, Args)]
#[command(after_help = "\
Lines, one operation each:
  read OFFSET LENGTH             its bytes in hexadecimal
  write OFFSET DIGITS            bytes in pairs of hexadecimal digits
  fill OFFSET LENGTH VALUE
  load i32.load ADDRESS          as `linmemctl load`; store and atomic likewise
  notify ADDRESS COUNT           how many it woke
  size                           in pages

Examples:
  printf '%s\\n' 'write 0 68656c6c6f' 'read 0 5' | linmemctl session demo
  linmemctl session demo < operations.txt --json | jq -c .
  seq 0 8 4096 | sed 's/.*/atomic & add 1/' | linmemctl session demo

Answers come in the order of the lines, though none waits for another to be sent.")]
pub(crate) struct SessionArgs {
    #[command(flatten)]
    target: Target,
    /// Refuse what would change the memory.
    #[arg(long)]
    read_only: bool,
}

#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    Read {
        #[arg(value_parser = size::bytes)]
        offset: u64,
        #[arg(value_parser = size::bytes)]
        length: u64,
    },
    Write {
        #[arg(value_parser = size::bytes)]
        offset: u64,
        digits: String,
    },
    Fill {
        #[arg(value_parser = size::bytes)]
        offset: u64,
        #[arg(value_parser = size::bytes)]
        length: u64,
        value: u8,
    },
    Load(Load),
    Store(Store),
    Atomic(Atomic),
    Notify {
        #[arg(value_parser = size::bytes)]
        address: u64,
        count: u32,
    },
    Size,
}

impl Deed {
    fn kind(self) -> Result<Kind, CtlError> {
        Ok(match self {
            Self::Read { offset, length } => Kind::Read(ReadOperation { offset, length }),
            Self::Write { offset, digits } => {
                let data = hex::parse(&digits).map_err(|bad| CtlError::Usage(bad.to_string()))?;
                Kind::Write(WriteOperation { offset, data: data.into() })
            }
            Self::Fill { offset, length, value } => {
                Kind::Fill(FillOperation { offset, length, value: value.into() })
            }
            Self::Load(load) => load.kind(),
            Self::Store(store) => store.kind()?,
            Self::Atomic(atomic) => atomic.kind(),
            Self::Notify { address, count } => {
                Kind::Notify(NotifyOperation { address, static_offset: 0, count })
            }
            Self::Size => Kind::Size(SizeOperation {}),
        })
    }
}

/// What became of a line.
type Said = (u64, Result<Option<Answer>, CtlError>);

/// Carries lines out until there are no more.
pub(crate) async fn run(args: SessionArgs, session: &Session) -> Result<(), CtlError> {
    let noticing = session.output;
    let opened = session.client.session(move |notice| match notice.notice {
        Some(Notice::GrownToPages(pages)) => noticing.note(&format!("grown to {pages} pages")),
        Some(Notice::Detached(status)) => noticing.note(&status.message),
        None => {}
    });
    let SessionArgs { target: Target { memory_id, uid }, read_only } = args;
    let attach = SessionAttach { memory_id, uid, read_only, ..Default::default() };
    let attached = opened.await?.attach_as(attach).await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut sent: FuturesOrdered<Pin<Box<dyn Future<Output = Said> + Send>>> =
        FuturesOrdered::new();
    let (mut number, mut open, mut code) = (0, true, 0);
    while open || !sent.is_empty() {
        tokio::select! {
            // Those that have an answer make room for others.
            biased;
            Some((line, answer)) = sent.next() => {
                code = code.max(tell(session, line, answer)?);
            }
            line = lines.next_line(), if open && sent.len() < AT_ONCE => {
                let line = line.map_err(|source| CtlError::File {
                    action: "read",
                    path: "standard input".to_owned(),
                    source,
                })?;
                number += 1;
                match line {
                    None => open = false,
                    Some(line) if line.trim().is_empty() || line.starts_with('#') => {}
                    Some(line) => sent.push_back(Box::pin(carry_out(attached.clone(), number, line))),
                }
            }
        }
    }
    match code {
        0 => Ok(()),
        code => Err(CtlError::Reported(code)),
    }
}

async fn carry_out(attached: Attached, number: u64, line: String) -> Said {
    let answer = match kind(&line) {
        Ok(kind) => attached
            .execute_one(Operation::from(kind))
            .await
            .map(|result| result.result)
            .map_err(CtlError::from),
        Err(slip) => Err(slip),
    };
    (number, answer)
}

/// What a line asks for.
fn kind(line: &str) -> Result<Kind, CtlError> {
    let line = Line::try_parse_from(line.split_whitespace()).map_err(|bad| {
        let bad = bad.to_string();
        let first = bad.lines().next().unwrap_or_default();
        CtlError::Usage(first.trim_start_matches("error: ").to_owned())
    })?;
    line.deed.kind()
}

/// Says what became of a line; the exit code that it is worth.
fn tell(
    session: &Session,
    line: u64,
    answer: Result<Option<Answer>, CtlError>,
) -> Result<u8, CtlError> {
    let output = &session.output;
    match answer {
        Ok(answer) => {
            let (text, mut object) = shown(answer);
            if output.json {
                object["line"] = json!(line);
                output.line(&object.to_string())?;
            } else {
                output.line(&text)?;
            }
            Ok(0)
        }
        Err(error) if output.json => {
            let mut object = error.json();
            object["line"] = json!(line);
            output.line(&object.to_string())?;
            Ok(error.exit_code())
        }
        Err(error) => {
            output.complain(&format!("line {line}: {}", error.text()));
            Ok(error.exit_code())
        }
    }
}

fn shown(answer: Option<Answer>) -> (String, Value) {
    match answer {
        Some(Answer::Data(data)) => {
            let digits = hex::digits(&data);
            (digits.clone(), json!({ "bytes": digits }))
        }
        Some(Answer::Value(number)) => match &number.value {
            Some(bits) => scalar::shown(bits),
            None => ("done".to_owned(), json!({})),
        },
        Some(Answer::OldValue(old)) => (old.to_string(), json!({ "value": old })),
        Some(Answer::SizePages(pages)) => (pages.to_string(), json!({ "size_pages": pages })),
        Some(Answer::WokenCount(woken)) => (woken.to_string(), json!({ "woken_count": woken })),
        None => ("done".to_owned(), json!({})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_operation_and_a_slip_is_said() {
        let read = Kind::Read(ReadOperation { offset: 65_536, length: 16 });
        assert_eq!(kind("read 1page 0x10").unwrap(), read);
        let write = Kind::Write(WriteOperation { offset: 0, data: vec![0xDE, 0xAD].into() });
        assert_eq!(kind("write 0 dead").unwrap(), write);
        assert!(matches!(kind("atomic 8 --width 4 cmpxchg 0 1"), Ok(Kind::AtomicCmpxchg(_))));
        assert!(matches!(kind("store i32.store 0 -1"), Ok(Kind::Store(_))));
        for slip in ["", "reed 0 1", "read 0", "write 0 xyz", "load i32.add 0", "fill 0 1 256"] {
            assert!(matches!(kind(slip), Err(CtlError::Usage(_))), "{slip}");
        }
    }
}
