//! The order of writes that depend on each other.

use std::collections::BTreeSet;

/// What has to come before what, by place.
#[derive(Debug, Default)]
pub(crate) struct Edges(Vec<Edge>);

#[derive(Debug)]
struct Edge {
    before: usize,
    after: usize,
    /// It can't be the other way round; else it is only better so.
    hard: bool,
}

impl Edges {
    /// `before` comes before `after`.
    pub(crate) fn add(&mut self, before: usize, after: usize, hard: bool) {
        if before != after || hard {
            self.0.push(Edge { before, after, hard });
        }
    }

    /// An order of `count` writes that keeps to the edges, and else to their places. Where edges run in a circle, the
    /// soft ones give way.
    ///
    /// # Errors
    /// The places that wait for each other, if hard edges run in a circle.
    pub(crate) fn sort(&self, count: usize) -> Result<Vec<usize>, Vec<usize>> {
        let mut open = Open::new(self, count);
        let mut order = Vec::with_capacity(count);
        while order.len() < count {
            let Some(next) = open.free.pop_first().or_else(|| open.able.pop_first()) else {
                return Err((0..count).filter(|at| !open.done[*at]).collect());
            };
            open.finish(next);
            order.push(next);
        }
        Ok(order)
    }
}

/// What is still to be put in order.
struct Open<'a> {
    after: Vec<Vec<&'a Edge>>,
    /// How many edges of each kind lead to each place.
    hard: Vec<usize>,
    soft: Vec<usize>,
    /// Places that wait for nothing.
    free: BTreeSet<usize>,
    /// Places that wait for soft edges alone.
    able: BTreeSet<usize>,
    done: Vec<bool>,
}

impl<'a> Open<'a> {
    fn new(edges: &'a Edges, count: usize) -> Self {
        let (mut after, mut hard, mut soft) = (vec![Vec::new(); count], vec![0; count], vec![0; count]);
        for edge in &edges.0 {
            after[edge.before].push(edge);
            *(if edge.hard { &mut hard[edge.after] } else { &mut soft[edge.after] }) += 1;
        }
        let able = (0..count).filter(|at| hard[*at] == 0);
        let (free, able) = able.partition(|at| soft[*at] == 0);
        Self { after, hard, soft, free, able, done: vec![false; count] }
    }

    fn finish(&mut self, at: usize) {
        self.done[at] = true;
        for edge in std::mem::take(&mut self.after[at]) {
            let to = edge.after;
            *(if edge.hard { &mut self.hard[to] } else { &mut self.soft[to] }) -= 1;
            if self.done[to] || self.hard[to] > 0 {
                continue;
            }
            if self.soft[to] == 0 {
                self.able.remove(&to);
                self.free.insert(to);
            } else {
                self.able.insert(to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Edges;

    #[track_caller]
    fn check(count: usize, edges: &[(usize, usize, bool)], expected: Result<&[usize], &[usize]>) {
        let mut all = Edges::default();
        edges.iter().for_each(|(before, after, hard)| all.add(*before, *after, *hard));
        let sorted = all.sort(count);
        assert_eq!(sorted.as_deref().map_err(Vec::as_slice), expected);
    }

    #[test]
    fn places_decide_where_edges_say_nothing() {
        check(3, &[], Ok(&[0, 1, 2]));
        check(4, &[(3, 0, true), (2, 1, false)], Ok(&[2, 1, 3, 0]));
        check(4, &[(0, 2, true), (2, 1, true), (3, 2, false)], Ok(&[0, 3, 2, 1]));
    }

    #[test]
    fn soft_edges_give_way_to_hard_ones() {
        check(2, &[(1, 0, false), (0, 1, true)], Ok(&[0, 1]));
        check(2, &[(1, 0, false), (0, 1, false)], Ok(&[0, 1]));
        check(3, &[(0, 1, true), (1, 2, true), (2, 0, false)], Ok(&[0, 1, 2]));
    }

    #[test]
    fn hard_edges_in_a_circle_are_named() {
        check(4, &[(0, 1, true), (1, 2, true), (2, 1, true), (2, 3, true)], Err(&[1, 2, 3]));
        check(1, &[(0, 0, true)], Err(&[0]));
    }
}
