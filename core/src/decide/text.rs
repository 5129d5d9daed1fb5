//! Merging two edits of one text by sentences: which sentences a text has, what each side changed, and both together.
//!
//! Every loop is linear in the texts, or takes its steps from [`Work`]. So the counted steps bound the cost of any text.

use std::{collections::HashMap, iter, ops::Range};

use unicode_segmentation::UnicodeSegmentation;

use super::work::Work;

/// The most parts that one side may add and remove together. The steps and the memory of a difference grow with the
/// square of it.
const EDITS_MAX: usize = 1_000;

/// How many characters in a row may be no letters, digits or line breaks before a part ends after them. After a full
/// stop the library looks ahead from each character of such a row, so its steps grow with the square of the row's
/// length.
const SIGNS_MAX: usize = 8;

/// How many bytes of a text are compared at a time, which is about one step.
const BLOCK: usize = 64;

/// Merges two edits of the text `base`. `None` if both changed the same sentence, or if that takes more work than is left.
pub(super) fn merge(base: &str, mine: &str, theirs: &str, work: &Work) -> Option<String> {
    let sides = [base, mine, theirs];
    let bytes = |sides: [&str; 3]| sides.iter().map(|text| text.len()).sum::<usize>();
    if !work.take(bytes(sides) / BLOCK) {
        return None;
    }
    if base == theirs {
        return Some(mine.to_owned());
    }
    let (before, after) = common_lines(sides);
    let inner = sides.map(|text| &text[before..text.len() - after]);
    if !work.take(bytes(inner)) {
        return None;
    }
    let mut numbers = HashMap::new();
    let mut side = |text| TokenisedText::new(text, &mut numbers);
    let [base_side, my_side, their_side] = [side(inner[0]), side(inner[1]), side(inner[2])];
    let mine = my_side.edits_of(&base_side, work)?;
    let theirs = their_side.edits_of(&base_side, work)?;

    let mut merged = base[..before].to_owned();
    let mut done = 0;
    for edit in both(mine, theirs)? {
        merged.extend(base_side.parts[done..edit.old.start].iter().copied());
        merged.push_str(&edit.text);
        done = edit.old.end;
    }
    merged.extend(base_side.parts[done..].iter().copied());
    merged.push_str(&base[base.len() - after..]);
    Some(merged)
}

/// The number of bytes of the first and of the last lines that all texts have in common. A line break always ends a
/// sentence, so the text between them can be divided by itself.
fn common_lines(texts: [&str; 3]) -> (usize, usize) {
    let [a, b, c] = texts.map(str::as_bytes);
    let same = common_start(a, b).min(common_start(a, c));
    let line_break = a[..same].iter().rposition(|byte| *byte == b'\n');
    let before = line_break.map_or(0, |at| at + 1);
    let [a, b, c] = [a, b, c].map(|text| &text[before..]);
    let same = common_end(a, b).min(common_end(a, c));
    let line_break = a[a.len() - same..].iter().position(|byte| *byte == b'\n');
    let after = line_break.map_or(0, |at| same - at - 1);
    (before, after)
}

fn common_start(a: &[u8], b: &[u8]) -> usize {
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK));
    let start = blocks.take_while(|(a, b)| a == b).count() * BLOCK;
    let rest = a[start..].iter().zip(&b[start..]);
    start + rest.take_while(|(a, b)| a == b).count()
}

fn common_end(a: &[u8], b: &[u8]) -> usize {
    let blocks = a.rchunks_exact(BLOCK).zip(b.rchunks_exact(BLOCK));
    let end = blocks.take_while(|(a, b)| a == b).count() * BLOCK;
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    let rest = a.iter().rev().zip(b.iter().rev());
    end + rest.take_while(|(a, b)| a == b).count()
}

/// A text as its parts, and a number for each: equal parts of all sides have the same.
struct TokenisedText<'t> {
    parts: Vec<&'t str>,
    numbers: Vec<usize>,
}

/// Parts of the base that a side replaces, and its replacement.
#[derive(Debug, PartialEq)]
struct TextEdit {
    old: Range<usize>,
    text: String,
}

impl<'t> TokenisedText<'t> {
    fn new(text: &'t str, known: &mut HashMap<&'t str, usize>) -> Self {
        let parts = parts(text);
        let number = |part: &&'t str| {
            let next = known.len();
            *known.entry(part).or_insert(next)
        };
        let numbers = parts.iter().map(number).collect();
        Self { parts, numbers }
    }

    fn edits_of(&self, base: &Self, work: &Work) -> Option<Vec<TextEdit>> {
        let replaced = difference(&base.numbers, &self.numbers, work)?;
        let edit = |(old, new): (_, Range<usize>)| TextEdit {
            old,
            text: self.parts[new].concat(),
        };
        Some(replaced.into_iter().map(edit).collect())
    }
}

/// Sentences (Unicode Standard Annex 29), each with its line breaks, and the white space after each as a part of its
/// own.
fn parts(text: &str) -> Vec<&str> {
    let sentences = stretches(text).flat_map(|stretch| stretch.split_sentence_bounds());
    let words_and_space = sentences.flat_map(|sentence| {
        let (words, space) = sentence.split_at(sentence.trim_end().len());
        [words, space]
    });
    words_and_space.filter(|part| !part.is_empty()).collect()
}

/// The text, cut after each [`SIGNS_MAX`] characters in a row that are no letters, no digits and no line breaks.
fn stretches(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    iter::from_fn(move || {
        let mut signs = 0;
        let cut = rest.char_indices().find_map(|(at, character)| {
            let is_sign = !character.is_alphanumeric() && character != '\n';
            signs = if is_sign { signs + 1 } else { 0 };
            (signs == SIGNS_MAX).then(|| at + character.len_utf8())
        });
        let (stretch, behind) = rest.split_at(cut.unwrap_or(rest.len()));
        rest = behind;
        (!stretch.is_empty()).then_some(stretch)
    })
}

/// The edits of both sides in the order of the base; `None` if they overlap.
fn both(mine: Vec<TextEdit>, theirs: Vec<TextEdit>) -> Option<Vec<TextEdit>> {
    let (mut mine, mut theirs) = (mine.into_iter().peekable(), theirs.into_iter().peekable());
    let mut all = Vec::new();
    loop {
        let next = match (mine.peek(), theirs.peek()) {
            (None, None) => return Some(all),
            (Some(a), Some(b)) if a == b => {
                theirs.next();
                mine.next()
            }
            (Some(a), b) if b.is_none_or(|b| a.is_before(b)) => mine.next(),
            (a, Some(b)) if a.is_none_or(|a| b.is_before(a)) => theirs.next(),
            _ => return None,
        };
        all.extend(next);
    }
}

impl TextEdit {
    /// Whether it ends at or before the beginning of the other one. Two insertions at one place have no order.
    fn is_before(&self, other: &Self) -> bool {
        self.old.end <= other.old.start && self.old != other.old
    }
}

/// The ranges of `old` that `new` replaces, and their replacements: the shortest difference, by the greedy algorithm of
/// Myers (1986).
fn difference(
    old: &[usize],
    new: &[usize],
    work: &Work,
) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let pairs = old.iter().zip(new);
    let start = pairs.take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[start..], &new[start..]);
    let pairs = old.iter().rev().zip(new.iter().rev());
    let end = pairs.take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - end], &new[..new.len() - end]);
    let last = Snake {
        old: old.len(),
        new: new.len(),
        length: 0,
    };
    let snakes = snakes(old, new, work)?;
    let mut replaced = Vec::new();
    let (mut at, mut beside) = (0, 0);
    for snake in snakes
        .iter()
        .filter(|snake| snake.length > 0)
        .chain([&last])
    {
        if (at, beside) != (snake.old, snake.new) {
            replaced.push((
                start + at..start + snake.old,
                start + beside..start + snake.new,
            ));
        }
        (at, beside) = (snake.old + snake.length, snake.new + snake.length);
    }
    Some(replaced)
}

/// The common part after an edit: its beginning in each, and its length.
struct Snake {
    old: usize,
    new: usize,
    length: usize,
}

/// The snakes on the shortest path from `old` to `new`, one after each edit. `None` beyond [`EDITS_MAX`] edits, or if
/// the steps are more work than is left.
fn snakes(old: &[usize], new: &[usize], work: &Work) -> Option<Vec<Snake>> {
    // How far into `old` each number of edits gets, on each diagonal. The first diagonal of `n` edits has no removal.
    let mut reached: Vec<Vec<usize>> = Vec::new();
    for edits in 0..=EDITS_MAX {
        let mut row = Vec::with_capacity(edits + 1);
        for removals in 0..=edits {
            let at = reached.last().map_or(0, |before| enter(before, removals).0);
            let beside = at + edits - 2 * removals;
            let rest = old.get(at..).unwrap_or_default().iter();
            let pairs = rest.zip(new.get(beside..).unwrap_or_default());
            let length = pairs.take_while(|(a, b)| a == b).count();
            if !work.take(1 + length) {
                return None;
            }
            row.push(at + length);
            if (at + length, beside + length) == (old.len(), new.len()) {
                reached.push(row);
                return Some(walk_back(&reached, removals));
            }
        }
        reached.push(row);
    }
    None
}

/// Where one edit more than `before` enters a diagonal, and whether that edit removes a part.
fn enter(before: &[usize], removals: usize) -> (usize, bool) {
    let by_adding = before.get(removals).copied();
    let by_removing = removals.checked_sub(1).and_then(|from| before.get(from));
    match (by_adding, by_removing) {
        (Some(added), Some(removed)) if *removed < added => (added, false),
        (_, Some(removed)) => (removed + 1, true),
        (added, None) => (added.unwrap_or_default(), false),
    }
}

fn walk_back(reached: &[Vec<usize>], mut removals: usize) -> Vec<Snake> {
    let mut snakes = Vec::with_capacity(reached.len());
    for (edits, row) in reached.iter().enumerate().rev() {
        let before = edits.checked_sub(1).map(|before| &reached[before]);
        let (at, removes) = before.map_or((0, false), |before| enter(before, removals));
        snakes.push(Snake {
            old: at,
            new: at + edits - 2 * removals,
            length: row[removals] - at,
        });
        removals -= usize::from(removes);
    }
    snakes.reverse();
    snakes
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn merged(base: &str, mine: &str, theirs: &str) -> Option<String> {
        merge(base, mine, theirs, &Work::of_a_push())
    }

    fn sentences(range: Range<usize>) -> String {
        range.map(|number| format!("Number {number}. ")).collect()
    }

    #[test]
    fn a_small_change_is_merged_into_a_text_of_any_length() {
        let text = sentences(0..40_000);
        let (mine, theirs) = (format!("{text}Mine. "), format!("Theirs. {text}"));
        let both = format!("Theirs. {text}Mine. ");
        assert_eq!(merged(&text, &mine, &theirs), Some(both));
    }

    #[test]
    fn texts_with_too_many_changed_sentences_are_not_merged() {
        let (start, end) = (sentences(0..501), sentences(3_000..3_501));
        let base = format!("{start}{end}");
        let mine = format!("{}{end}", sentences(10_000..10_501));
        let theirs = format!("{start}{}", sentences(13_000..13_501));
        assert_eq!(merged(&base, &mine, &theirs), None);
    }

    /// A row is cut, and its pieces are whole.
    #[test]
    fn long_rows_of_signs_are_parts_of_their_own() {
        let ruler = "-".repeat(3 * SIGNS_MAX + 2);
        let text = format!("Title\n{ruler}\nWords. (Really?!)   More ");
        let parts = parts(&text);
        assert_eq!(parts.concat(), text);
        let longest = parts.iter().map(|part| part.matches('-').count()).max();
        assert_eq!(longest, Some(SIGNS_MAX));
        let last = ["Words.", " ", "(Really?!)", "   ", "More", " "];
        assert_eq!(parts[parts.len() - last.len()..], last);
    }

    /// With steps that grow with the square of a text's length these would take many minutes.
    #[test]
    fn no_shape_of_a_text_costs_more_than_its_length() {
        let shapes: [&dyn Fn(usize) -> String; 10] = [
            &|n| " ".repeat(n),
            &|n| ")".repeat(n),
            &|n| "a.".repeat(n / 2) + &" ".repeat(n / 2),
            &|n| "a.".to_owned() + &" ".repeat(n),
            &|n| "a.".to_owned() + &")".repeat(n),
            &|n| ".".to_owned() + &")]".repeat(n / 4) + &" \u{a0}".repeat(n / 6),
            &|n| "a. ".repeat(n / 3),
            &|n| ". 1".repeat(n / 3),
            &|n| "a.".to_owned() + &"1".repeat(n),
            &|n| "\n".repeat(n),
        ];
        for (i, shape) in shapes.iter().enumerate() {
            let base = shape(400_000);
            let (mine, theirs) = (format!("{base}\nMine"), format!("Theirs\n{base}"));
            let work = Work::of_a_push();
            let expected = format!("Theirs\n{base}\nMine");
            assert_eq!(
                merge(&base, &mine, &theirs, &work),
                Some(expected),
                "shape {i}"
            );
            assert!(work.spent() < 3_000_000, "shape {i}: {}", work.spent());
        }
    }

    #[test]
    fn repeated_sentences_are_merged() {
        let same = "A. ".repeat(20_000);
        let base = format!("First. {same}Last.");
        let mine = format!("Mine. {same}{}Mine.", "A. ".repeat(300));
        let work = Work::of_a_push();
        let merged = merge(&base, &mine, &format!("{base} More."), &work);
        assert_eq!(merged, Some(format!("{mine} More.")));
        assert!(work.spent() < 500_000, "{}", work.spent());
    }

    #[test]
    fn small_edits_of_a_large_text_cost_what_they_change() {
        let lines: String = (0..20_000)
            .map(|i| format!("Line {i} of many.\n"))
            .collect();
        let theirs = lines.replace("Line 19999 of", "Line 19999 is the last of");
        let work = Work::of_a_push();
        for i in 0..100 {
            let line = format!("Line {} of", 19_890 + i);
            let mine = lines.replace(&line, "Mine of");
            assert!(merge(&lines, &mine, &theirs, &work).is_some(), "edit {i}");
        }
    }

    proptest! {
        #[test]
        fn what_one_side_changed_is_taken_and_what_both_did_alike_once(
            base in texts(), mine in texts(),
        ) {
            prop_assert_eq!(merged(&base, &mine, &base), Some(mine.clone()));
            prop_assert_eq!(merged(&base, &base, &mine), Some(mine.clone()));
            prop_assert_eq!(merged(&base, &mine, &mine), Some(mine));
        }

        #[test]
        fn merging_is_symmetric(base in texts(), mine in texts(), theirs in texts()) {
            prop_assert_eq!(merged(&base, &mine, &theirs), merged(&base, &theirs, &mine));
        }

        #[test]
        fn parts_make_up_their_text(text in "[a-zA-Z.!?\\)\\] \n\u{a0}\u{301}é。1\"'-]{0,60}") {
            prop_assert_eq!(parts(&text).concat(), text);
        }
    }

    fn texts() -> impl Strategy<Value = String> {
        let words = [
            "One.", " ", "Two!", "\n", "three", "- ", "One. ", "四。", ".",
        ];
        vec(prop::sample::select(words.to_vec()), 0..12).prop_map(|words| words.concat())
    }
}
