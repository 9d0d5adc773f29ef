//! What was declared that looks most like what was asked for.

/// How many changed characters make one text the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// At most `count` of `declared`, nearest to `asked` first.
pub(crate) fn nearest(asked: &str, declared: impl Iterator<Item = String>, count: usize) -> Vec<String> {
    let path = asked.split_once(' ').map_or(asked, |(_, path)| path);
    let far = |text: &String| {
        // A variant without a method answers every one: the method is no difference.
        let against = if text.contains(' ') { asked } else { path };
        distance(against, text)
    };
    let mut found: Vec<(usize, String)> = declared.map(|text| (far(&text), text)).collect();
    found.sort();
    found.dedup();
    found.into_iter().take(count).map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("users", "user", 1)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn the_nearest_comes_first() {
        let declared = ["hats", "GET users/1", "users?by_first_name=Guy", "GET users"].map(str::to_owned);
        let found = nearest("GET users/2", declared.into_iter(), 2);
        assert_eq!(found, ["GET users/1", "GET users"]);
    }
}
