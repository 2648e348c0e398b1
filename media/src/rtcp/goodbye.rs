//! Sources leave (RFC 3550 §6.6).

use super::word;

/// A goodbye packet.
#[derive(Debug, Clone, Copy)]
pub struct Goodbye<'a> {
    sources: &'a [u8],
    reason: &'a [u8],
}

impl<'a> Goodbye<'a> {
    pub(super) fn parse(count: usize, body: &'a [u8]) -> Option<Self> {
        let (sources, reason) = body.split_at_checked(count * 4)?;
        Some(Self { sources, reason })
    }

    /// Who leaves.
    pub fn sources(self) -> impl Iterator<Item = u32> + 'a {
        self.sources.chunks_exact(4).map(|source| word(source, 0))
    }

    /// Why, if told.
    #[must_use]
    pub fn reason(self) -> Option<&'a [u8]> {
        let (length, text) = self.reason.split_first()?;
        text.get(..usize::from(*length)).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_reason_are_read() {
        let goodbye = Goodbye::parse(2, &[0, 0, 0, 1, 0, 0, 0, 2, 3, b'b', b'y', b'e']).unwrap();
        assert_eq!(goodbye.sources().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(goodbye.reason(), Some(&b"bye"[..]));
        assert_eq!(Goodbye::parse(1, &[0, 0, 0, 1, 9, b'x', 0, 0]).unwrap().reason(), None);
        assert!(Goodbye::parse(2, &[0, 0, 0, 1]).is_none());
    }
}
