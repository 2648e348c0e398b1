//! `[[route]]`: the dialling plan.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use control::{
    Source, Utterance,
    media::{
        Prompt,
        dsp::{tone_plan::Country, tone_script::ToneScript},
        io::{AudioFile, LoadError, Prompts as Loader, PromptsConfig},
    },
    signaling::StatusCode,
    speech,
};
use regex::Regex;

use super::{
    document::{Item, Section, listed},
    problem::{Report, nearest},
};
use crate::routing::{self, Application, Route, Template};

/// What a called party looks like.
const TARGET: &str = "sip:USER@HOST[:PORT] or user:NAME";

/// `home` is whose tones are meant where no country is named.
pub(super) fn read(
    sections: Vec<Section<'_>>,
    folder: &Path,
    speaks: bool,
    home: Country,
    report: &mut Report<'_>,
) -> Vec<Route> {
    let loader = Loader::new(PromptsConfig::default());
    let mut prompts = Prompts { folder, loader, loaded: BTreeMap::new(), speaks };
    sections.into_iter().filter_map(|section| route(section, &mut prompts, home, report)).collect()
}

fn route(
    mut section: Section<'_>,
    prompts: &mut Prompts<'_>,
    home: Country,
    report: &mut Report<'_>,
) -> Option<Route> {
    const TO: &str = "a regular expression for the dialled user";
    let pattern =
        section.require("to", TO, report).and_then(|item| item.parsed(TO, report, routing::pattern));
    let known: Vec<&str> = Kind::ALL.iter().map(|(name, _)| *name).collect();
    let kind = section.require("app", &listed(&known), report).and_then(|item| {
        item.parsed(&listed(&known), report, |text| match Kind::ALL.iter().find(|(name, _)| *name == text) {
            Some((_, kind)) => Ok(*kind),
            None if LATER.contains(&text) => Err(format!("{text} is not available yet")),
            None => {
                Err(nearest(text, &known).map(|meant| format!("did you mean `{meant}`?")).unwrap_or_default())
            }
        })
    });
    // Without an app its keys cannot be judged.
    let kind = kind?;
    let application = match kind {
        Kind::Echo => Some(Application::Echo),
        Kind::Play => play(&mut section, prompts, report),
        Kind::Say => say(&mut section, prompts.speaks, report),
        Kind::Dial => dial(&mut section, pattern.as_ref(), report),
        Kind::Conference => conference(&mut section, report),
        Kind::Tone => tone(&mut section, home, report),
        Kind::Reject => reject(&mut section, report),
    };
    section.finish(report);
    Some(Route::new(pattern?, application?))
}

fn play(
    section: &mut Section<'_>,
    prompts: &mut Prompts<'_>,
    report: &mut Report<'_>,
) -> Option<Application> {
    let source = section.require("file", FILE, report).and_then(|item| prompts.load(item, report));
    let times = times(section, report);
    Some(Application::Play { sources: vec![source?], times })
}

fn say(section: &mut Section<'_>, speaks: bool, report: &mut Report<'_>) -> Option<Application> {
    const TEXT: &str = "a text, or SSML in <speak>";
    let item = section.require("text", TEXT, report);
    let name =
        |item: Item<'_>, report: &mut Report<'_>| {
            item.parsed("a name", report, |text| {
                if text.is_empty() { Err(String::new()) } else { Ok(text.to_owned()) }
            })
        };
    let voice = section.take("voice").map(|item| name(item, report));
    let language = section.take("language").map(|item| name(item, report));
    let times = times(section, report);
    let (voice, language) = (voice.flatten(), language.flatten());
    let sources = item?.parsed(TEXT, report, |text| {
        if !speaks {
            return Err("nobody speaks: [speech] is missing".into());
        }
        let utterance = Utterance { text: text.to_owned(), voice, language };
        let spoken = speech::parse(&utterance).map_err(|error| error.to_string())?;
        match (spoken.sources.is_empty(), spoken.ignored.is_empty()) {
            (true, _) => Err("there is nothing to say".into()),
            (false, true) => Ok(spoken.sources),
            (false, false) => Err(format!("not understood: {}", spoken.ignored.join(", "))),
        }
    })?;
    Some(Application::Play { sources, times })
}

/// How often something is heard; `None` until the caller hangs up.
fn times(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<u32> {
    match section.take("loop") {
        None => Some(1),
        Some(item) if item.is_boolean() => item.boolean(report).and_then(|endless| (!endless).then_some(1)),
        Some(item) => item.integer(1..=1_000_000, report).and_then(|times| u32::try_from(times).ok()),
    }
}

fn dial(section: &mut Section<'_>, pattern: Option<&Regex>, report: &mut Report<'_>) -> Option<Application> {
    let target = section.require("target", TARGET, report);
    let from = section.take("from");
    let ring_timeout = section.take("ring_timeout").and_then(|item| item.integer(1..=3600, report));
    let srtp = section.take("srtp").and_then(|item| super::srtp(item, report));
    let amd = match section.take("amd") {
        None => false,
        Some(item) => item.boolean(report)?,
    };
    // A template is only understood together with the expression whose captures it uses.
    let pattern = pattern?;
    let target = target?.parsed(TARGET, report, |text| {
        let template = Template::parse(text, pattern)?;
        routing::called_party(&template.sample()).map(|_| template)
    });
    let from = match from {
        None => None,
        Some(item) => Some(item.parsed("a SIP URI, or a name and <URI>", report, |text| {
            let template = Template::parse(text, pattern)?;
            routing::calling_party(&template.sample()).map(|_| template)
        })?),
    };
    let ring_timeout = ring_timeout.map(Duration::from_secs);
    Some(Application::Dial { target: target?, from, ring_timeout, srtp, amd })
}

fn conference(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Application> {
    let limit = match section.take("limit") {
        None => None,
        Some(item) => Some(usize::try_from(item.integer(1..=1_000_000, report)?).ok()?),
    };
    Some(Application::Conference { limit })
}

fn tone(section: &mut Section<'_>, home: Country, report: &mut Report<'_>) -> Option<Application> {
    const TONE: &str = "`ring`, `busy`, `congestion`, `dial` or `info`, or a tone script";
    const COUNTRY: &str = "the code of a known country";
    let country = match section.take("country") {
        None => Some(home),
        Some(item) => item.parsed(COUNTRY, report, |text| Country::from_code(text).ok_or_else(String::new)),
    };
    let tone = section.require("tone", TONE, report);
    let answer = match section.take("answer") {
        None => Some(true),
        Some(item) => item.boolean(report),
    };
    let (country, answer) = (country?, answer?);
    let script = tone?
        .parsed(TONE, report, |text| ToneScript::read(text, country).map_err(|error| error.to_string()))?;
    Some(Application::Tone { script: Arc::new(script), answer })
}

fn reject(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Application> {
    let item = section.require("code", "a status from 400 to 699", report)?;
    let code = item.integer(400..=699, report)?;
    StatusCode::new(u16::try_from(code).ok()?).map(Application::Reject)
}

/// The recordings of all routes, each read once.
struct Prompts<'a> {
    folder: &'a Path,
    loader: Loader,
    loaded: BTreeMap<PathBuf, Arc<Prompt>>,
    speaks: bool,
}

impl Prompts<'_> {
    fn load(&mut self, item: Item<'_>, report: &mut Report<'_>) -> Option<Source> {
        item.parsed(FILE, report, |text| {
            if text.starts_with("http://") || text.starts_with("https://") {
                return Ok(Source::Url(text.to_owned()));
            }
            let path = self.folder.join(text);
            if let Some(prompt) = self.loaded.get(&path) {
                return Ok(Source::Prompt(Arc::clone(prompt)));
            }
            let why = |error: LoadError| {
                if let LoadError::Io(error) = &error
                    && error.kind() == std::io::ErrorKind::NotFound
                {
                    return format!("there is no {}", path.display());
                }
                error.to_string()
            };
            // What is long is streamed to whoever hears it.
            if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > WHOLE) {
                let file = std::fs::File::open(&path).map_err(|error| error.to_string())?;
                let hint = path.extension().and_then(|extension| extension.to_str());
                AudioFile::open(file, hint).map_err(|error| error.to_string())?;
                return Ok(Source::File(path));
            }
            let prompt = self.loader.load(&path).map_err(why)?;
            self.loaded.insert(path, Arc::clone(&prompt));
            Ok(Source::Prompt(prompt))
        })
    }
}

/// What a recording is given by.
const FILE: &str = "the path or the http address of an audio file";

/// Longest file that is kept in memory from the start, bytes.
const WHOLE: u64 = 8 << 20;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Echo,
    Play,
    Say,
    Dial,
    Conference,
    Tone,
    Reject,
}

impl Kind {
    const ALL: [(&'static str, Self); 7] = [
        ("echo", Self::Echo),
        ("play", Self::Play),
        ("say", Self::Say),
        ("dial", Self::Dial),
        ("conference", Self::Conference),
        ("tone", Self::Tone),
        ("reject", Self::Reject),
    ];
}

/// Applications that have a name but do not exist yet.
const LATER: [&str; 1] = ["scenario"];
