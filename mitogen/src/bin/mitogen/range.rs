//! Ranges in target names: `ssh:web[01-20]`, `ssh:db[1,3,7-9]`, and the way back.

use crate::target::Malformed;
use std::{collections::BTreeMap, ops::Range};

/// The most targets that one text may stand for: a slip of the finger must not fill the memory.
const LIMIT: usize = 100_000;

/// All names that `text` stands for, in order. A bracket that holds anything but digits, `-` and `,` (an IPv6
/// address) is no range and stays as it is.
pub(crate) fn expand(text: &str) -> Result<Vec<String>, Malformed> {
    let mut names = vec![String::new()];
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        let (plain, bracket) = rest.split_at(at);
        let (pieces, behind) = match group(bracket) {
            Some((inside, behind)) => (
                numbers(inside)
                    .map_err(|why| Malformed(format!("target `{text}`: range [{inside}]: {why}")))?,
                behind,
            ),
            None => (vec!["[".to_owned()], &bracket[1..]),
        };
        if names.len().saturating_mul(pieces.len()) > LIMIT {
            return Err(Malformed(format!("target `{text}` stands for more than {LIMIT} targets")));
        }
        names = names
            .iter()
            .flat_map(|name| pieces.iter().map(move |piece| format!("{name}{plain}{piece}")))
            .collect();
        rest = behind;
    }
    for name in &mut names {
        name.push_str(rest);
    }
    Ok(names)
}

/// Whether `text`, which starts with `[`, would be read as a range.
pub(crate) fn starts_range(text: &str) -> bool {
    group(text).is_some()
}

/// Folds names that differ in one number only: `web01 web02 web03 db` becomes `web[01-03]`, `db`. Whatever number
/// that is: of a name, an address, a port, an option, at any hop; the last one that folds is taken.
/// The order is that of each group's first name.
pub(crate) fn fold(names: &[String]) -> Vec<String> {
    let mut folded: Vec<(usize, String)> = Vec::new();
    let mut rest: Vec<usize> = (0..names.len()).collect();
    let most = names.iter().map(|name| digit_runs(name).len()).max().unwrap_or_default();
    for nth_last in 0..most {
        rest = fold_at(names, &rest, nth_last, &mut folded);
    }
    folded.extend(rest.into_iter().map(|index| (index, names[index].clone())));
    folded.sort();
    folded.into_iter().map(|(_, name)| name).collect()
}

/// Folds those names that differ in their last number but so many; gives the others back.
fn fold_at(
    names: &[String],
    indices: &[usize],
    nth_last: usize,
    folded: &mut Vec<(usize, String)>,
) -> Vec<usize> {
    // Head, tail and width of the number; number and index of each member.
    type Group<'a> = (&'a str, &'a str, usize);
    let mut groups: BTreeMap<Group<'_>, Vec<(u64, usize)>> = BTreeMap::new();
    let mut rest = Vec::new();
    for &index in indices {
        let name = &names[index];
        let runs = digit_runs(name);
        let run = runs.len().checked_sub(nth_last + 1).map(|at| runs[at].clone());
        // A number past u64 could not be printed back.
        let Some((run, number)) = run.and_then(|run| Some((run.clone(), name[run].parse().ok()?))) else {
            rest.push(index);
            continue;
        };
        let (head, digits, tail) = (&name[..run.start], &name[run.clone()], &name[run.end..]);
        // Zero-padded numbers fold with their own width, others with any width.
        let width = if digits.len() > 1 && digits.starts_with('0') { digits.len() } else { 0 };
        let group = match groups.contains_key(&(head, tail, digits.len())) {
            true => (head, tail, digits.len()),
            false => (head, tail, width),
        };
        groups.entry(group).or_default().push((number, index));
    }
    for ((head, tail, width), mut members) in groups {
        let first = members.iter().map(|&(_, index)| index).min().unwrap_or_default();
        members.sort_unstable();
        members.dedup_by_key(|&mut (number, _)| number);
        if let [(_, index)] = members[..] {
            rest.push(index);
            continue;
        }
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (number, _) in members {
            match runs.last_mut() {
                Some((_, end)) if end.checked_add(1) == Some(number) => *end = number,
                _ => runs.push((number, number)),
            }
        }
        let inside: Vec<String> = runs
            .into_iter()
            .map(|(start, end)| match start == end {
                true => format!("{start:0width$}"),
                false => format!("{start:0width$}-{end:0width$}"),
            })
            .collect();
        folded.push((first, format!("{head}[{}]{tail}", inside.join(","))));
    }
    rest.sort_unstable();
    rest
}

/// Where the numbers of a name stand. Escapes and bracketed addresses have none.
fn digit_runs(name: &str) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    if name.contains('[') {
        return runs;
    }
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        while at < bytes.len() && bytes[at].is_ascii_digit() {
            at += 1;
        }
        if at > start {
            runs.push(start..at);
        } else {
            at += if bytes[at] == b'%' { 3 } else { 1 };
        }
    }
    runs
}

/// Splits `[inside]behind`, if `inside` looks like a range.
fn group(bracket: &str) -> Option<(&str, &str)> {
    let (inside, behind) = bracket.strip_prefix('[')?.split_once(']')?;
    let is_range = inside.starts_with(|c: char| c.is_ascii_digit())
        && inside.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b',');
    is_range.then_some((inside, behind))
}

fn numbers(inside: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for part in inside.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |digits: &str| {
            digits.parse::<u64>().map_err(|_| format!("`{digits}` is no number from 0 to {}", u64::MAX))
        };
        let (start, end) = (number(first)?, number(last)?);
        if start > end {
            return Err(format!("it runs backwards, from {first} to {last}"));
        }
        if end - start >= LIMIT as u64 {
            return Err(format!("it stands for more than {LIMIT} targets"));
        }
        let width = first.len();
        all.extend((start..=end).map(|number| format!("{number:0width$}")));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        expand(text).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn a_range_keeps_its_zeros() {
        assert_eq!(all("ssh:web[08-11]"), ["ssh:web08", "ssh:web09", "ssh:web10", "ssh:web11"]);
        assert_eq!(all("ssh:web[8-11]")[0], "ssh:web8");
    }

    #[test]
    fn lists_and_several_ranges_multiply() {
        assert_eq!(all("ssh:r[1-2]n[1,3]"), ["ssh:r1n1", "ssh:r1n3", "ssh:r2n1", "ssh:r2n3"]);
    }

    #[test]
    fn an_address_is_no_range() {
        assert_eq!(all("ssh:u@[::1]:22"), ["ssh:u@[::1]:22"]);
        assert_eq!(all("ssh:[1-"), ["ssh:[1-"]);
    }

    #[test]
    fn bad_ranges_are_refused() {
        for bad in [
            "ssh:[9-1]",
            "ssh:[1-]",
            "ssh:[1,,2]",
            "ssh:[0-999999999]",
            "ssh:[0-9999][0-9999]",
            "ssh:[1-2-3]",
        ] {
            assert!(expand(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn names_fold_into_ranges() {
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(fold(&names("ssh:web01 ssh:db ssh:web02 ssh:web04")), ["ssh:web[01-02,04]", "ssh:db"]);
        assert_eq!(fold(&names("ssh:web9 ssh:web10 ssh:web11")), ["ssh:web[9-11]"]);
        assert_eq!(fold(&names("ssh:web08 ssh:web09 ssh:web10")), ["ssh:web[08-10]"]);
        assert_eq!(fold(&names("ssh:a@web1.lan:22 ssh:a@web2.lan:22")), ["ssh:a@web[1-2].lan:22"]);
        assert_eq!(fold(&names("local local?python=python3")), ["local", "local?python=python3"]);
        assert_eq!(fold(&names("ssh:10.0.0.1 ssh:10.0.0.2")), ["ssh:10.0.0.[1-2]"]);
        assert_eq!(
            fold(&names("ssh:h1/local ssh:h2/local ssh:h2/ssh:x")),
            ["ssh:h[1-2]/local", "ssh:h2/ssh:x"]
        );
        assert_eq!(
            fold(&names("local?python=%2Fpy3.1 local?python=%2Fpy3.2")),
            ["local?python=%2Fpy3.[1-2]"]
        );
        assert_eq!(fold(&names("ssh:[::1]:22 ssh:[::2]:22")), ["ssh:[::1]:22", "ssh:[::2]:22"]);
    }

    proptest::proptest! {
        #[test]
        fn folding_and_expanding_give_the_same_names(numbers in proptest::collection::btree_set(0u32..40, 1..20), width in 1usize..3) {
            let names: Vec<String> = numbers.iter().map(|n| format!("ssh:web{n:0width$}")).collect();
            let mut back: Vec<String> = fold(&names).iter().flat_map(|text| all(text)).collect();
            back.sort();
            let mut names = names;
            names.sort();
            proptest::prop_assert_eq!(back, names);
        }
    }
}
