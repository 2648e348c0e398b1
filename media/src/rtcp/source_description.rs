//! Who the sources are (RFC 3550 §6.5).

use super::word;

/// A source description packet.
#[derive(Debug, Clone, Copy)]
pub struct SourceDescription<'a> {
    sources: usize,
    body: &'a [u8],
}

/// One item of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceItem<'a> {
    /// The source.
    pub ssrc: u32,
    /// Kind of the item; 1 is the canonical name.
    pub kind: u8,
    /// Its text, UTF-8 if the peer is honest.
    pub text: &'a [u8],
}

impl<'a> SourceDescription<'a> {
    pub(super) fn new(sources: usize, body: &'a [u8]) -> Self {
        Self { sources, body }
    }

    /// All items in order; ends early where the packet is malformed.
    #[must_use]
    pub fn items(self) -> Items<'a> {
        Items { left: self.sources, ssrc: None, rest: self.body, at: 0 }
    }

    /// The canonical name of a source.
    #[must_use]
    pub fn cname(self, ssrc: u32) -> Option<&'a [u8]> {
        self.items().find(|item| item.ssrc == ssrc && item.kind == CNAME).map(|item| item.text)
    }
}

/// Iterates over the items of a [`SourceDescription`].
#[derive(Debug, Clone, Copy)]
pub struct Items<'a> {
    left: usize,
    ssrc: Option<u32>,
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = SourceItem<'a>;

    fn next(&mut self) -> Option<SourceItem<'a>> {
        loop {
            let Some(ssrc) = self.ssrc else {
                self.left = self.left.checked_sub(1)?;
                self.rest.get(self.at..self.at + 4)?;
                self.ssrc = Some(word(self.rest, self.at));
                self.at += 4;
                continue;
            };
            let kind = *self.rest.get(self.at)?;
            if kind == 0 {
                // The next source begins at a full word.
                self.at = (self.at + 1).next_multiple_of(4);
                self.ssrc = None;
                continue;
            }
            let length = usize::from(*self.rest.get(self.at + 1)?);
            let text = self.rest.get(self.at + 2..self.at + 2 + length)?;
            self.at += 2 + length;
            return Some(SourceItem { ssrc, kind, text });
        }
    }
}

/// Kind of the canonical name.
pub const CNAME: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_sources_with_several_items_are_read() {
        let body = [
            0, 0, 0, 1, 1, 2, b'a', b'b', 2, 1, b'n', 0, //
            0, 0, 0, 2, 1, 0, 0, 0,
        ];
        let description = SourceDescription::new(2, &body);
        assert_eq!(description.items().count(), 3);
        assert_eq!(description.cname(1), Some(&b"ab"[..]));
        assert_eq!(description.cname(2), Some(&b""[..]));
        assert_eq!(description.cname(3), None);
    }

    #[test]
    fn a_text_longer_than_the_packet_ends_the_list() {
        assert_eq!(SourceDescription::new(1, &[0, 0, 0, 1, 1, 200, b'a', b'b']).items().count(), 0);
        assert_eq!(SourceDescription::new(31, &[]).items().count(), 0);
        assert_eq!(SourceDescription::new(31, &[0; 64]).items().count(), 0);
    }
}
