//! A difference of two texts by lines, for showing what a versioned file would become.

/// The lines that differ, `-` for what stands in the tree and `+` for what belongs there, in order.
pub(crate) fn lines(old: &str, new: &str) -> Vec<String> {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let common = common_lengths(&old, &new);
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            out.push(format!("-{}", old[i]));
            i += 1;
        } else {
            out.push(format!("+{}", new[j]));
            j += 1;
        }
    }
    out
}

/// `[i][j]`: how many lines the tails from `i` and `j` have in common, in order.
fn common_lengths(old: &[&str], new: &[&str]) -> Vec<Vec<usize>> {
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn equal_texts_do_not_differ() {
        assert!(lines("a\nb\n", "a\nb\n").is_empty());
    }

    #[test]
    fn a_changed_line_goes_before_the_one_it_becomes() {
        assert_eq!(lines("a\nb\nc\n", "a\nx\nc\nd\n"), ["-b", "+x", "+d"]);
        assert_eq!(lines("", "a\n"), ["+a"]);
        assert_eq!(lines("a\n", ""), ["-a"]);
    }
}
