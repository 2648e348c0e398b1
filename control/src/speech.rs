//! Text to be spoken: plain, or in a subset of SSML (W3C Speech Synthesis Markup Language 1.1).
//!
//! Whoever synthesises speech gets plain text only. Breaks become silence of exactly that length, digits and
//! characters are written out so that any voice says them one by one.

use crate::command::Source;

/// Something to be said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Utterance {
    /// Plain text, or a document that begins with `<speak` or `<?xml`.
    pub text: String,
    /// The name of a voice; the default where `None`.
    pub voice: Option<String>,
    /// A language tag (BCP 47), for voices that know several; the voice's own where `None`.
    pub language: Option<String>,
}

impl Utterance {
    /// In the default voice.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// What an utterance comes down to.
#[derive(Debug, Clone)]
pub struct Spoken {
    /// Speech and silence in order.
    pub sources: Vec<Source>,
    /// Names of elements that were read as if they were not there, each once.
    pub ignored: Vec<String>,
}

/// Where a document is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SsmlError {
    /// Byte of the text.
    pub position: usize,
    /// What should be there.
    pub expected: &'static str,
}

impl std::fmt::Display for SsmlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {} at position {}", self.expected, self.position)
    }
}

impl std::error::Error for SsmlError {}

/// Takes an utterance apart.
///
/// # Errors
/// When it begins like SSML and is none.
pub fn parse(utterance: &Utterance) -> Result<Spoken, SsmlError> {
    let mut reader = Reader::new(utterance);
    let text = utterance.text.trim_start();
    if text.starts_with("<speak") || text.starts_with("<?xml") {
        reader.document()?;
    } else {
        reader.text.push_str(&utterance.text);
    }
    reader.say();
    Ok(Spoken { sources: reader.sources, ignored: reader.ignored })
}

struct Reader<'a> {
    utterance: &'a Utterance,
    input: &'a str,
    at: usize,
    open: Vec<(&'a str, SayAs)>,
    text: String,
    sources: Vec<Source>,
    ignored: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SayAs {
    Words,
    OneByOne,
}

/// What stands between angle brackets.
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, String)>,
    closes: bool,
    empty: bool,
}

impl<'a> Reader<'a> {
    fn new(utterance: &'a Utterance) -> Self {
        let input = utterance.text.as_str();
        Self {
            utterance,
            input,
            at: 0,
            open: Vec::new(),
            text: String::new(),
            sources: Vec::new(),
            ignored: Vec::new(),
        }
    }

    fn document(&mut self) -> Result<(), SsmlError> {
        while self.at < self.input.len() {
            let rest = &self.input[self.at..];
            if let Some(comment) = rest.strip_prefix("<!--") {
                let end = comment.find("-->").ok_or(self.expected("-->"))?;
                self.at += 4 + end + 3;
            } else if rest.starts_with("<?") {
                self.at += rest.find("?>").ok_or(self.expected("?>"))? + 2;
            } else if rest.starts_with("<!") {
                // No document types, so no entities that grow.
                return Err(self.expected("an element"));
            } else if rest.starts_with('<') {
                self.tag()?;
            } else {
                let end = rest.find('<').unwrap_or(rest.len());
                let text = self.unescaped(&rest[..end])?;
                if self.open.is_empty() && !text.trim().is_empty() {
                    return Err(self.expected("<speak>"));
                }
                self.words(&text);
                self.at += end;
            }
        }
        if self.open.is_empty() { Ok(()) } else { Err(self.expected("a closing tag")) }
    }

    fn words(&mut self, text: &str) {
        if self.open.last().is_some_and(|(_, how)| *how == SayAs::OneByOne) {
            for character in text.chars().filter(|character| !character.is_whitespace()) {
                // A comma makes every voice pause and none read a number.
                if !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
                    self.text.push_str(", ");
                }
                self.text.push(character);
            }
            return;
        }
        self.text.push_str(text);
    }

    fn tag(&mut self) -> Result<(), SsmlError> {
        let start = self.at;
        let tag = self.read_tag()?;
        if tag.closes {
            return match self.open.pop() {
                Some((name, _)) if name == tag.name => {
                    if matches!(name, "p" | "s" | "say-as") {
                        self.text.push(' ');
                    }
                    Ok(())
                }
                _ => Err(SsmlError { position: start, expected: "the tag that closes the last one" }),
            };
        }
        if self.open.is_empty() && tag.name != "speak" {
            return Err(SsmlError { position: start, expected: "<speak>" });
        }
        let attribute = |name: &str| tag.attributes.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        let mut how = self.open.last().map_or(SayAs::Words, |(_, how)| *how);
        match tag.name {
            "speak" | "p" | "s" => {}
            "break" => {
                let ms = pause(attribute("time"), attribute("strength"))
                    .ok_or(SsmlError { position: start, expected: "a break of at most 60 s" })?;
                self.say();
                if ms > 0 {
                    self.sources.push(Source::Silence(ms));
                }
            }
            "say-as" => match attribute("interpret-as") {
                Some("digits" | "characters" | "spell-out" | "telephone" | "verbatim") => {
                    self.text.push(' ');
                    how = SayAs::OneByOne;
                }
                Some(other) => self.ignore(&format!("say-as {other}")),
                None => return Err(SsmlError { position: start, expected: "the attribute interpret-as" }),
            },
            other => self.ignore(other),
        }
        if !tag.empty {
            if self.open.len() == MAX_DEPTH {
                return Err(SsmlError { position: start, expected: "at most 32 open elements" });
            }
            self.open.push((tag.name, how));
        }
        Ok(())
    }

    fn read_tag(&mut self) -> Result<Tag<'a>, SsmlError> {
        self.at += 1;
        let closes = self.eat("/");
        let name = self.name("the name of an element")?;
        let mut attributes = Vec::new();
        loop {
            self.space();
            if self.eat("/>") && !closes {
                return Ok(Tag { name, attributes, closes, empty: true });
            }
            if self.eat(">") {
                return Ok(Tag { name, attributes, closes, empty: false });
            }
            if closes || attributes.len() == MAX_ATTRIBUTES {
                return Err(self.expected(">"));
            }
            let attribute = self.name("an attribute or >")?;
            self.space();
            if !self.eat("=") {
                return Err(self.expected("="));
            }
            self.space();
            let quote = if self.eat("\"") {
                '"'
            } else if self.eat("'") {
                '\''
            } else {
                return Err(self.expected("a value in quotes"));
            };
            let rest = &self.input[self.at..];
            let end = rest.find(quote).ok_or(self.expected("the closing quote"))?;
            attributes.push((attribute, self.unescaped(&rest[..end])?));
            self.at += end + 1;
        }
    }

    fn name(&mut self, expected: &'static str) -> Result<&'a str, SsmlError> {
        let rest = &self.input[self.at..];
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ':' | '.');
        let end = rest.find(|c: char| !fits(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.expected(expected));
        }
        self.at += end;
        Ok(&rest[..end])
    }

    fn unescaped(&self, text: &str) -> Result<String, SsmlError> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('&') {
            out.push_str(&rest[..at]);
            let end = rest[at..].find(';').filter(|end| *end <= 10).ok_or(self.expected("& as &amp;"))?;
            let name = &rest[at + 1..at + end];
            let code = name
                .strip_prefix("#x")
                .map(|hex| u32::from_str_radix(hex, 16))
                .or_else(|| name.strip_prefix('#').map(str::parse));
            out.push(match (name, code) {
                ("amp", _) => '&',
                ("lt", _) => '<',
                ("gt", _) => '>',
                ("quot", _) => '"',
                ("apos", _) => '\'',
                (_, Some(Ok(code))) => char::from_u32(code).ok_or(self.expected("a character"))?,
                _ => return Err(self.expected("& as &amp;")),
            });
            rest = &rest[at + end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn eat(&mut self, text: &str) -> bool {
        let eaten = self.input[self.at..].starts_with(text);
        self.at += if eaten { text.len() } else { 0 };
        eaten
    }

    fn space(&mut self) {
        let rest = &self.input[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn expected(&self, expected: &'static str) -> SsmlError {
        SsmlError { position: self.at, expected }
    }

    fn ignore(&mut self, name: &str) {
        if !self.ignored.iter().any(|known| known == name) && self.ignored.len() < MAX_IGNORED {
            self.ignored.push(name.to_owned());
        }
    }

    /// What was gathered is one piece of speech.
    fn say(&mut self) {
        let text = std::mem::take(&mut self.text);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            let Utterance { voice, language, .. } = self.utterance.clone();
            self.sources.push(Source::Speech(Utterance { text, voice, language }));
        }
    }
}

/// Length of a break, ms.
fn pause(time: Option<&str>, strength: Option<&str>) -> Option<u32> {
    let ms = match (time.map(str::trim), strength) {
        (Some(time), _) => {
            let (number, scale) = match time.strip_suffix("ms") {
                Some(number) => (number, 1.0),
                None => (time.strip_suffix('s')?, 1_000.0),
            };
            number.trim().parse::<f64>().ok()? * scale
        }
        (None, Some("none")) => 0.0,
        (None, Some("x-weak")) => 100.0,
        (None, Some("weak")) => 250.0,
        (None, Some("strong")) => 1_000.0,
        (None, Some("x-strong")) => 1_500.0,
        (None, _) => 500.0,
    };
    (0.0..=60_000.0).contains(&ms).then(|| ms.round() as u32)
}

const MAX_DEPTH: usize = 32;
const MAX_ATTRIBUTES: usize = 16;
const MAX_IGNORED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(text: &str) -> (Vec<String>, Vec<String>) {
        let spoken = parse(&Utterance::new(text)).unwrap();
        let parts = spoken.sources.into_iter().map(|source| {
            if let Source::Speech(utterance) = source {
                return utterance.text;
            }
            let Source::Silence(ms) = source else { panic!("{source:?}") };
            format!("{ms} ms")
        });
        (parts.collect(), spoken.ignored)
    }

    fn failure(text: &str) -> &'static str {
        parse(&Utterance::new(text)).unwrap_err().expected
    }

    #[test]
    fn plain_text_is_said_as_it_is() {
        assert_eq!(spoken("5 < 6 & \"7\"").0, ["5 < 6 & \"7\""]);
        assert!(spoken("  ").0.is_empty());
    }

    #[test]
    fn breaks_are_silence_and_digits_are_said_one_by_one() {
        let text = "<speak>Your code is <say-as interpret-as=\"digits\">4711</say-as>.\
                    <break time='1.5s'/> <p>Tom &amp; Jerry</p><break/>\
                    <say-as interpret-as='characters'>ab c</say-as></speak>";
        let (parts, ignored) = spoken(text);
        assert_eq!(parts, ["Your code is 4, 7, 1, 1 .", "1500 ms", "Tom & Jerry", "500 ms", "a, b, c"]);
        assert!(ignored.is_empty());
    }

    #[test]
    fn what_is_not_known_is_told_and_its_text_is_said() {
        let text = "<?xml version=\"1.0\"?><!-- hi --><speak><emphasis level=\"strong\">now</emphasis> \
                    <say-as interpret-as=\"date\">2026</say-as><prosody rate='slow'>or<mark name='x'/></prosody></speak>";
        let (parts, ignored) = spoken(text);
        assert_eq!(parts, ["now 2026 or"]);
        assert_eq!(ignored, ["emphasis", "say-as date", "prosody", "mark"]);
    }

    #[test]
    fn malformed_documents_say_what_is_missing() {
        assert_eq!(failure("<speak>open"), "a closing tag");
        assert_eq!(failure("<speak><p></speak>"), "the tag that closes the last one");
        assert_eq!(failure("<speak>a & b</speak>"), "& as &amp;");
        assert_eq!(failure("<speak><break time='2 hours'/></speak>"), "a break of at most 60 s");
        assert_eq!(failure("<speak><say-as>1</say-as></speak>"), "the attribute interpret-as");
        assert_eq!(failure("<speak a=b></speak>"), "a value in quotes");
        assert_eq!(failure("<speak></speak>more"), "<speak>");
        assert_eq!(failure("<speak><!DOCTYPE x></speak>"), "an element");
        let deep = "<s>".repeat(40);
        assert_eq!(failure(&format!("<speak>{deep}</speak>")), "at most 32 open elements");
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(<speak)?[<>/a-z =\"'&;#x0-9é-]{0,60}") {
            let _ = parse(&Utterance::new(text));
        }
    }
}
