//! Names of files that a task chose: which every engine may keep, and how they may be shown.

/// Marks that turn the direction of text or take no room: a name may look like another with them.
const INVISIBLE: [std::ops::RangeInclusive<char>; 9] = [
    '\u{ad}'..='\u{ad}',
    '\u{61c}'..='\u{61c}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{feff}'..='\u{feff}',
    '\u{fff9}'..='\u{fffb}',
    '\u{e0000}'..='\u{e007f}',
];

/// Names that drive no terminal and mean the same to every program.
pub fn is_plain(name: &[u8]) -> bool {
    let plain = |c: char| !c.is_control() && !INVISIBLE.iter().any(|range| range.contains(&c));
    std::str::from_utf8(name).is_ok_and(|text| text.chars().all(plain))
}

/// A name as it may be shown and stored.
pub fn shown(name: &[u8]) -> String {
    if is_plain(name) { String::from_utf8_lossy(name).into_owned() } else { name.escape_ascii().to_string() }
}
