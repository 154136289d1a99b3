//! How many segments a text takes on its way as SMS.
//!
//! It is written apart from what the proxy counts with, so that the two check each other.

/// The alphabet of GSM 03.38, without its escape.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// What takes an escape and a second septet.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// The segments of a text; an empty one takes one.
pub(super) fn count(text: &str) -> u64 {
    let septets: Option<Vec<usize>> = text.chars().map(septets).collect();
    match septets {
        Some(costs) => packed(&costs, 160, 153),
        None => packed(&text.chars().map(char::len_utf16).collect::<Vec<_>>(), 70, 67),
    }
}

fn septets(char: char) -> Option<usize> {
    if BASIC.contains(char) {
        Some(1)
    } else if EXTENSION.contains(char) {
        Some(2)
    } else {
        None
    }
}

/// Packs characters into segments without splitting any. A header takes room once there are two.
fn packed(costs: &[usize], alone: usize, each: usize) -> u64 {
    if costs.iter().sum::<usize>() <= alone {
        return 1;
    }
    let mut segments = 1;
    let mut used = 0;
    for cost in costs {
        if used + cost > each {
            segments += 1;
            used = 0;
        }
        used += cost;
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_follow_the_alphabet_and_never_split_a_character() {
        let cases = [
            (String::new(), 1),
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("é".repeat(160), 1),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            // 153 is odd: an escape and its character stay together, and one septet is lost.
            ("€".repeat(152), 2),
            ("€".repeat(153), 3),
            (format!("{}€", "a".repeat(152)) + &"a".repeat(151), 2),
            (format!("{}€", "a".repeat(152)) + &"a".repeat(152), 3),
            ("ç".repeat(70), 1),
            ("ç".repeat(71), 2),
            ("ç".repeat(134), 2),
            ("ç".repeat(135), 3),
            ("👍".repeat(35), 1),
            ("👍".repeat(36), 2),
            ("👍".repeat(66), 2),
            ("👍".repeat(67), 3),
            (format!("{}’", "a".repeat(69)), 1),
            (format!("{}’", "a".repeat(70)), 2),
        ];
        for (text, segments) in cases {
            assert_eq!(count(&text), segments, "{} of {text}", text.chars().count());
        }
    }

    #[test]
    fn the_alphabet_is_whole() {
        assert_eq!(BASIC.chars().count(), 127);
        assert_eq!(EXTENSION.chars().count(), 10);
        assert!(BASIC.chars().all(|char| !EXTENSION.contains(char)));
    }
}
