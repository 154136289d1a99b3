//! How many segments a text message is billed as.
//!
//! Twilio bills each segment, so this is the quantity of an SMS's price. It must never count too
//! low: a hold that is smaller than the bill breaks the cap. So where a reader could differ, the
//! larger count is taken:
//!
//! - Twilio's "smart encoding" replaces characters such as curly quotes and can turn a UCS-2 text
//!   into a shorter GSM-7 one. It is off unless a messaging service turns it on, and where it is
//!   on it makes fewer segments of any text that is more than ellipses. It is not counted on.
//! - What reads as one character (a family emoji of seven code points) is kept in one segment, as
//!   Twilio's own calculator does. A sender that cuts at code units needs as many or fewer.
//!
//! Sources: the alphabet and its extension are GSM 03.38 (3GPP TS 23.038, 6.2.1); the sizes are in
//! Twilio's documentation of message segments, and its published calculator agrees (read 2026-11).

use std::num::NonZeroU32;

use unicode_segmentation::UnicodeSegmentation;

/// Septets of a message of one segment, and of each segment of a longer one: six octets of every
/// part are its header then.
const GSM_7: Sizes = Sizes { single: 160, part: 153 };
/// The same in UTF-16 code units.
const UCS_2: Sizes = Sizes { single: 70, part: 67 };

struct Sizes {
    single: u32,
    part: u32,
}

/// The segments that Twilio bills for a message of this text. An empty text is one.
#[must_use]
pub fn segments(text: &str) -> NonZeroU32 {
    let septets = |c: char| septets(c).unwrap_or(0);
    if text.chars().all(|c| self::septets(c).is_some()) {
        // An extension character is an escape and another septet, which stay together.
        return packed(text.chars().map(septets), &GSM_7);
    }
    if text.chars().all(stands_alone) {
        return packed(text.chars().map(|c| units([c])), &UCS_2);
    }
    let graphemes = text.graphemes(true).flat_map(|grapheme| {
        let whole = units(grapheme.chars());
        // What no segment can take as a whole is cut, but never between two surrogates.
        let fits = whole <= UCS_2.part;
        let pieces = grapheme.chars().filter(move |_| !fits).map(|c| units([c]));
        fits.then_some(whole).into_iter().chain(pieces)
    });
    packed(graphemes, &UCS_2)
}

/// The segments that these pieces fill, in their order, where none may be cut.
fn packed(pieces: impl Iterator<Item = u32>, sizes: &Sizes) -> NonZeroU32 {
    let first = (0_u32, NonZeroU32::MIN, 0_u32);
    let (whole, count, _) = pieces.fold(first, |(whole, count, filled), piece| {
        let whole = whole.saturating_add(piece);
        match filled.saturating_add(piece) {
            filled if filled <= sizes.part => (whole, count, filled),
            _ => (whole, count.saturating_add(1), piece),
        }
    });
    if whole <= sizes.single { NonZeroU32::MIN } else { count }
}

/// Whether a character is surely read by itself beside others of this kind: letters and signs of
/// most alphabets, kana and han. Looking for what belongs together is slow, and seldom needed.
fn stands_alone(c: char) -> bool {
    matches!(c,
        ' '..='~'
        | '\u{a0}'..='\u{ac}'
        | '\u{ae}'..='\u{2ff}'
        | '\u{370}'..='\u{482}'
        | '\u{48a}'..='\u{58f}'
        | '\u{5d0}'..='\u{5ea}'
        | '\u{2010}'..='\u{2027}'
        | '\u{20a0}'..='\u{20cf}'
        | '\u{3001}'..='\u{3029}'
        | '\u{3041}'..='\u{3096}'
        | '\u{30a1}'..='\u{30fe}'
        | '\u{4e00}'..='\u{9fff}'
    )
}

/// How many UTF-16 code units these are.
fn units(chars: impl IntoIterator<Item = char>) -> u32 {
    chars.into_iter().fold(0, |sum, c| sum.saturating_add(if c > '\u{ffff}' { 2 } else { 1 }))
}

/// What a character takes of a GSM-7 message; `None` where the alphabet does not have it.
fn septets(c: char) -> Option<u32> {
    match c {
        '\n' | '\r' | ' '..='Z' | '_' | 'a'..='z' => Some(1),
        c if "¡£¤¥§¿ÄÅÆÇÉÑÖØÜßàäåæèéìñòöøùüΓΔΘΛΞΠΣΦΨΩ".contains(c) => {
            Some(1)
        }
        '\u{c}' | '[' | '\\' | ']' | '^' | '{' | '|' | '}' | '~' | '€' => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four people joined into one: seven code points, eleven UTF-16 units.
    const FAMILY: &str = "👨\u{200d}👩\u{200d}👧\u{200d}👦";

    fn count(text: &str) -> u32 {
        segments(text).get()
    }

    #[test]
    fn plain_text_is_cut_at_153_septets_once_it_passes_160() {
        for (length, segments) in [
            (0, 1),
            (1, 1),
            (153, 1),
            (160, 1),
            (161, 2),
            (306, 2),
            (307, 3),
            (459, 3),
            (1_600, 11),
        ] {
            assert_eq!(count(&"a".repeat(length)), segments, "{length}");
        }
    }

    #[test]
    fn what_stands_alone_is_never_read_together_with_its_neighbours() {
        let alone: String = ('\0'..=char::MAX).filter(|c| stands_alone(*c)).collect();
        assert!(alone.chars().count() > 20_000);
        let doubled: String = alone.chars().flat_map(|c| [c, c, 'a']).collect();
        for text in [alone, doubled] {
            assert_eq!(text.graphemes(true).count(), text.chars().count());
        }
    }

    #[test]
    fn one_character_outside_the_alphabet_makes_the_whole_text_wide() {
        for (length, segments) in
            [(0, 1), (69, 1), (70, 2), (133, 2), (134, 3), (159, 3), (1_599, 24)]
        {
            assert_eq!(count(&format!("ê{}", "a".repeat(length))), segments, "{length}");
        }
        assert_eq!(count(&"é".repeat(160)), 1);
        assert_eq!(count(&"ê".repeat(71)), 2);
    }

    #[test]
    fn an_extension_character_is_two_septets() {
        for c in "€^{}[]~\\|\u{c}".chars() {
            assert_eq!(count(&c.to_string().repeat(80)), 1, "{c}");
            assert_eq!(count(&format!("{}a", c.to_string().repeat(80))), 2, "{c}");
        }
    }

    #[test]
    fn an_extension_character_is_never_cut() {
        // 152 septets and one of two: it moves to the next segment as a whole.
        assert_eq!(count(&format!("{}€{}", "a".repeat(152), "a".repeat(151))), 2);
        assert_eq!(count(&format!("{}€{}", "a".repeat(152), "a".repeat(152))), 3);
        // 76 of them fill 152 of the 153.
        assert_eq!(count(&"€".repeat(152)), 2);
        assert_eq!(count(&"€".repeat(153)), 3);
    }

    #[test]
    fn an_emoji_is_two_units_and_never_cut() {
        assert_eq!(count("😀"), 1);
        assert_eq!(count(&"😀".repeat(35)), 1);
        assert_eq!(count(&"😀".repeat(36)), 2);
        // 33 of them fill 66 of the 67.
        assert_eq!(count(&"😀".repeat(66)), 2);
        assert_eq!(count(&"😀".repeat(67)), 3);
    }

    #[test]
    fn what_reads_as_one_character_stays_in_one_segment() {
        assert_eq!(count(FAMILY), 1);
        assert_eq!(count(&FAMILY.repeat(6)), 1);
        assert_eq!(count(&FAMILY.repeat(7)), 2);
        // Letter and accent are two units: 33 fill 66 of the 67, and 67 need a third segment.
        assert_eq!(count(&"e\u{301}".repeat(66)), 2);
        assert_eq!(count(&"e\u{301}".repeat(67)), 3);
        // A flag is four: 16 fill 64 of the 67.
        assert_eq!(count(&"🇩🇪".repeat(32)), 2);
        assert_eq!(count(&"🇩🇪".repeat(33)), 3);
        // As many marks on one letter as a segment takes, and more.
        let full = format!("e{}", "\u{301}".repeat(66));
        assert_eq!(count(&full), 1);
        assert_eq!(count(&format!("êêê{full}ê")), 3);
        assert_eq!(count(&format!("e{}", "\u{301}".repeat(200))), 3);
    }

    #[test]
    fn lines_are_plain_and_curly_quotes_are_not() {
        assert_eq!(count(&"\r\n".repeat(80)), 1);
        assert_eq!(count(&"\r\n".repeat(81)), 2);
        assert_eq!(count(&"\r\n".repeat(153)), 2);
        assert_eq!(count(&format!("{}\u{2019}", "a".repeat(70))), 2);
        assert_eq!(count(&format!("{}'", "a".repeat(70))), 1);
        assert_eq!(count(&format!("{}\t", "a".repeat(70))), 2);
        assert_eq!(count(&format!("{}`", "a".repeat(70))), 2);
    }

    #[test]
    fn the_alphabet_has_128_places_of_which_one_is_the_escape() {
        let of = |size| ('\0'..=char::MAX).filter(|c| septets(*c) == Some(size)).count();
        assert_eq!((of(1), of(2)), (127, 10));
    }

    /// Every text over a few telling characters, three in a round, behind plain text.
    #[test]
    fn a_count_is_never_below_the_bare_size_and_never_falls_as_a_text_grows() {
        let pieces = ["a", "€", "ê", "😀", FAMILY, "\r\n", "e\u{301}"];
        for seed in 0..pieces.len().pow(3) {
            let mut text = "a".repeat(seed % 160);
            let mut before = 1;
            for step in 0..40 {
                let digit = seed / pieces.len().pow(step % 3) % pieces.len();
                text.push_str(pieces[digit]);
                let now = count(&text);
                assert!(now >= before || text.chars().all(|c| septets(c).is_some()), "{text}");
                let wide = text.chars().any(|c| septets(c).is_none());
                let floor = match (wide, units(text.chars())) {
                    (false, _) => text.chars().filter_map(septets).sum::<u32>().div_ceil(160),
                    (true, units) if units <= 70 => 1,
                    (true, units) => units.div_ceil(67),
                };
                assert!(now >= floor.max(1), "{text}");
                before = now;
            }
        }
    }
}
