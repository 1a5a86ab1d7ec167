//! `watch`: what happens to memories, as it happens.

use std::time::{Duration, SystemTime};

use clap::Args;
use linmemd::client::proto::event::Detail;
use linmemd::client::proto::{Event, EventKind, EventPosition};
use linmemd::client::{EventItem, Watch};

use crate::failure::CtlError;
use crate::session::Session;
use crate::size::human_pages;
use crate::{json, selector};

/// Arguments of `watch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl watch
  linmemctl watch -l team=red --kind created,deleted,expired
  linmemctl watch --snapshot --json | jq -c 'select(.kind != null)'
  linmemctl watch --since 1042              events from 1042 on, where they are still kept
  linmemctl watch --snapshot --count 1

Goes on after a restart or a lost connection. With --json each line is one object: an event, or what is
said of the watch itself, under its name.")]
pub(crate) struct WatchArgs {
    /// Only memories whose labels match: key, !key, key=value, key!=value, joined by commas.
    #[arg(long, short = 'l', value_parser = selector::selector, default_value = "",
        hide_default_value = true)]
    selector: String,
    /// Only these kinds, joined by commas: created, grown, grow_denied, grow_failed, deleted, expired,
    /// quarantined, purged, shared [default: all].
    #[arg(long = "kind", value_parser = kind, value_delimiter = ',', value_name = "KINDS")]
    kinds: Vec<EventKind>,
    /// First every memory that there is.
    #[arg(long)]
    snapshot: bool,
    /// Go on with the event of this sequence; of an earlier run of the daemon as BOOT_ID/SEQUENCE.
    #[arg(long, value_parser = since, value_name = "SEQUENCE", conflicts_with = "snapshot")]
    since: Option<EventPosition>,
    /// End after so many events.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Watches until it is ended.
pub(crate) async fn run(args: WatchArgs, session: &Session) -> Result<(), CtlError> {
    let output = &session.output;
    let mut resume = args.since;
    if let Some(position) = &mut resume
        && position.boot_id.is_empty()
    {
        position.boot_id = session.client.server_info().await?.boot_id;
    }
    let mut stream = session.client.watch(Watch {
        label_selector: args.selector,
        kinds: args.kinds,
        snapshot: args.snapshot,
        resume,
        patience: Duration::MAX,
    });
    let mut left = args.count;
    while left != Some(0) {
        let item = stream.next().await?;
        if let (EventItem::Event(_) | EventItem::Present(_), Some(left)) = (&item, &mut left) {
            *left = left.saturating_sub(1);
        }
        match output.json {
            true => output.line(&json::event_item(&item).to_string())?,
            false => match (&item, line(&item)) {
                (EventItem::Event(_) | EventItem::Present(_), Some(line)) => output.line(&line)?,
                (_, Some(line)) => output.note(&line),
                (_, None) => {}
            },
        }
    }
    Ok(())
}

fn line(item: &EventItem) -> Option<String> {
    Some(match item {
        EventItem::Event(event) => of_event(event),
        EventItem::Present(event) => of_event(event),
        EventItem::SnapshotEnd(position) => {
            format!("these were all; what happens from {} on follows", position.sequence)
        }
        EventItem::Lost { first, last } => format!("too slow: events {first} to {last} are lost"),
        EventItem::Compacted(position) => format!(
            "what happened before is no longer kept; going on at {} of {}",
            position.sequence, position.boot_id
        ),
        EventItem::SnapshotAgain => "the connection was lost; all memories again".to_owned(),
        EventItem::Started(_) | EventItem::Progress(_) => return None,
    })
}

fn of_event(event: &Event) -> String {
    let time = event.time.and_then(|time| SystemTime::try_from(time).ok());
    let time = time.map(|time| prost_types::Timestamp::from(time).to_string()).unwrap_or_default();
    let kind = event.kind().as_str_name().trim_start_matches("EVENT_KIND_").to_ascii_lowercase();
    let sequence = match event.sequence {
        0 => "-".to_owned(),
        sequence => sequence.to_string(),
    };
    let mut line = format!("{time}  {sequence:>6}  {kind:<11}  {}", event.memory_id);
    if let Some(detail) = event.detail.as_ref().map(detail).filter(|detail| !detail.is_empty()) {
        line.push_str("  ");
        line.push_str(&detail);
    }
    line
}

fn detail(detail: &Detail) -> String {
    match detail {
        Detail::Created(created) if created.state_reason.is_empty() => {
            human_pages(created.size_pages)
        }
        Detail::Created(created) => {
            format!("{}, quarantined: {}", human_pages(created.size_pages), created.state_reason)
        }
        Detail::Grown(grown) => {
            format!("{} -> {}", grown.previous_pages, human_pages(grown.current_pages))
        }
        Detail::GrowDenied(denied) => {
            format!("+{} {} by hook {}", denied.delta_pages, denied.cause, denied.hook_id)
        }
        Detail::GrowFailed(failed) => format!("+{} {}", failed.delta_pages, failed.reason),
        Detail::Quarantined(quarantined) => quarantined.reason.clone(),
        Detail::Purged(purged) => format!("{} bytes at {}", purged.length, purged.offset),
        Detail::Shared(shared) => {
            let step = shared.step().as_str_name().trim_start_matches("SHARE_STEP_");
            let access = shared.access().as_str_name().trim_start_matches("SHARE_ACCESS_");
            let words = [step, access].map(str::to_ascii_lowercase).join(" ");
            format!("{words}, tenant {}, share {}", shared.tenant, shared.share_id)
        }
    }
}

/// A kind by its name without what all of them begin with.
fn kind(text: &str) -> Result<EventKind, String> {
    let name = format!("EVENT_KIND_{}", text.trim().to_ascii_uppercase());
    EventKind::from_str_name(&name)
        .filter(|kind| *kind != EventKind::Unspecified)
        .ok_or_else(|| format!("`{text}` is no kind of event; see `linmemctl watch --help`"))
}

/// `SEQUENCE` or `BOOT_ID/SEQUENCE`.
fn since(text: &str) -> Result<EventPosition, String> {
    let (boot_id, sequence) = text.rsplit_once('/').unwrap_or(("", text));
    match sequence.parse() {
        Ok(sequence) if sequence > 0 => Ok(EventPosition { boot_id: boot_id.to_owned(), sequence }),
        _ => Err(format!("`{text}` is no sequence: a number from 1 on, or BOOT_ID/NUMBER")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linmemd::client::proto::{MemoryCreated, MemoryGrown};

    #[test]
    fn a_line_says_when_which_what_and_of_whom() {
        let event = Event {
            sequence: 7,
            time: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            kind: EventKind::Grown.into(),
            memory_id: "m".to_owned(),
            detail: Some(Detail::Grown(MemoryGrown { previous_pages: 1, current_pages: 3 })),
            ..Event::default()
        };
        let wanted = "1970-01-01T00:00:00Z       7  grown        m  1 -> 3 pages (192 KiB)";
        assert_eq!(line(&EventItem::Event(event.clone())).unwrap(), wanted);
        let present = Event {
            sequence: 0,
            kind: EventKind::Created.into(),
            detail: Some(Detail::Created(MemoryCreated { size_pages: 1, ..Default::default() })),
            ..event
        };
        let wanted = "1970-01-01T00:00:00Z       -  created      m  1 page (64 KiB)";
        assert_eq!(line(&EventItem::Present(present)).unwrap(), wanted);
    }

    #[test]
    fn kinds_and_places_to_go_on_are_read_and_slips_are_refused() {
        assert_eq!(kind("grow_denied"), Ok(EventKind::GrowDenied));
        assert!(kind("unspecified").is_err() && kind("born").is_err());
        assert_eq!(since("12").unwrap().sequence, 12);
        assert_eq!(since("b/12").unwrap().boot_id, "b");
        assert!(since("0").is_err() && since("b/").is_err() && since("x").is_err());
    }
}
