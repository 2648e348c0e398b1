//! `[speech]` and `[downloads]`: who speaks, and what may be fetched.

use std::{path::PathBuf, time::Duration};

use control::signaling::auth::credentials::Secret;

use super::{
    document::{Item, Section, listed},
    problem::Report,
};
use crate::{
    fetch::Limits,
    speech::{Format, Provider, SPEED, Voices, languages},
};

/// Who speaks, which is the voice that is built in where nothing is said. `None` where nobody does, or with a
/// `[speech]` that is wrong.
pub(super) fn voices(mut section: Section<'_>, report: &mut Report<'_>) -> Option<Voices> {
    if section.is_empty() {
        return Voices::built_in();
    }
    let known = listed(&["espeak", "command", "http"]);
    let kind = match section.take("provider") {
        None if !languages().is_empty() => Some(Kind::Embedded),
        None => section.require("provider", &known, report).and(None),
        Some(item) => item.parsed(&known, report, |text| match text {
            "espeak" if languages().is_empty() => Err("no voice is built into this program".into()),
            "espeak" => Ok(Kind::Embedded),
            "command" => Ok(Kind::Command),
            "http" => Ok(Kind::Http),
            _ => Err(String::new()),
        }),
    };
    let provider = kind.and_then(|kind| match kind {
        Kind::Embedded => {
            let speed = section.take("speed").and_then(|item| item.integer(80..=450, report));
            let speed = speed.and_then(|speed| u32::try_from(speed).ok()).unwrap_or(SPEED);
            // The folder is known once the command line is read.
            Some(Provider::Embedded { folder: PathBuf::new(), speed })
        }
        Kind::Command => program(&mut section, report),
        Kind::Http => server(&mut section, report),
    });
    let voice = section.take("voice").and_then(|item| word(item, "the name of a voice", report));
    let names = section.section("voices", report).into_strings("the provider's name of the voice", report);
    let rate = section.take("rate").and_then(|item| item.integer(8_000..=48_000, report));
    let format = match section.take("format") {
        None => Some(Format::Wav),
        Some(item) => item.parsed(&listed(&["wav", "pcm"]), report, |text| match text {
            "wav" => Ok(Format::Wav),
            // What OpenAI sends.
            "pcm" => Ok(Format::Pcm(u32::try_from(rate.unwrap_or(24_000)).unwrap_or(24_000))),
            _ => Err(String::new()),
        }),
    };
    let patience = section.take("timeout").and_then(|item| item.integer(1..=300, report)).unwrap_or(15);
    section.finish(report);
    Some(Voices {
        provider: provider?,
        voice,
        names,
        format: format?,
        patience: Duration::from_secs(patience),
    })
}

/// Who may speak.
enum Kind {
    Embedded,
    Command,
    Http,
}

fn program(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Provider> {
    const COMMAND: &str = "a program and its arguments as an array of strings";
    let item = section.require("command", COMMAND, report)?;
    let (path, span) = (item.path.clone(), item.span.clone());
    let line: Vec<String> =
        item.elements(report).into_iter().filter_map(|element| element.string("a string", report)).collect();
    if line.first().is_none_or(String::is_empty) {
        report.add(&span, &path, format!("expected {COMMAND}, found none"));
        return None;
    }
    Some(Provider::Command(line))
}

fn server(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Provider> {
    const URL: &str = "the http address of /v1/audio/speech";
    let url = section.require("url", URL, report).and_then(|item| {
        item.parsed(URL, report, |text| {
            let web = text.starts_with("http://") || text.starts_with("https://");
            if web && text.parse::<ureq::http::Uri>().is_ok() {
                Ok(text.to_owned())
            } else {
                Err(String::new())
            }
        })
    });
    let key = section.take("key").and_then(|item| item.string("a key", report)).map(Secret::new);
    let model = section.take("model").and_then(|item| word(item, "the name of a model", report));
    Some(Provider::Http { url: url?, key, model: model.unwrap_or_else(|| "tts-1".into()) })
}

/// `[downloads]`.
pub(super) fn limits(mut section: Section<'_>, report: &mut Report<'_>) -> Limits {
    let mut limits = Limits::default();
    if let Some(private) = section.take("private").and_then(|item| item.boolean(report)) {
        limits.private = private;
    }
    if let Some(megabytes) = section.take("megabytes").and_then(|item| item.integer(1..=10_000, report)) {
        limits.bytes = megabytes << 20;
    }
    if let Some(seconds) = section.take("timeout").and_then(|item| item.integer(1..=300, report)) {
        limits.patience = Duration::from_secs(seconds);
    }
    section.finish(report);
    limits
}

fn word(item: Item<'_>, expected: &str, report: &mut Report<'_>) -> Option<String> {
    item.parsed(
        expected,
        report,
        |text| if text.is_empty() { Err(String::new()) } else { Ok(text.to_owned()) },
    )
}
