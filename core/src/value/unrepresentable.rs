//! What a request can spell and no value can hold: half a surrogate pair, a number beyond all floats, nesting without
//! end.
//!
//! A mark of two noncharacters in a text represents each of them, from reading the request until the change is REJECTED
//! for it. So one such value does not refuse its neighbours.

/// The first character of every mark.
const BEGIN: char = '\u{fdd0}';

/// What cannot be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrepresentable {
    /// Half a surrogate pair: JSON spells it (`"\ud83d"`) where JavaScript has cut a text inside an emoji.
    HalfPair,
    /// A number beyond all 64-bit floats.
    Number,
    /// A value that is nested too deep to be read.
    Depth,
}

impl Unrepresentable {
    const ALL: [Self; 3] = [Self::HalfPair, Self::Number, Self::Depth];

    /// Its mark in a text.
    pub fn mark(self) -> &'static str {
        match self {
            Self::HalfPair => "\u{fdd0}\u{fdef}",
            Self::Number => "\u{fdd0}\u{fdee}",
            Self::Depth => "\u{fdd0}\u{fded}",
        }
    }

    /// What is wrong with a value, in a sentence without its subject.
    pub fn problem(self) -> &'static str {
        match self {
            Self::HalfPair => {
                "holds half a surrogate pair, as a text does that was cut inside an emoji"
            }
            Self::Number => "holds a number beyond 64 bits; send it as a string",
            Self::Depth => "is nested too deep",
        }
    }

    /// The impossible value that a text marks or contains, if any.
    pub fn find(text: &str) -> Option<Self> {
        if !text.contains(BEGIN) {
            return None;
        }
        let has_mark = |unheld: &Self| text.contains(unheld.mark());
        Self::ALL.into_iter().find(has_mark)
    }

    /// The text for display, with U+FFFD for each mark.
    pub fn shown(text: &str) -> String {
        let replace = |text: String, unheld: Self| text.replace(unheld.mark(), "\u{fffd}");
        Self::ALL.into_iter().fold(text.to_owned(), replace)
    }
}
