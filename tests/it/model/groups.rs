//! Groups of rows and what is worked out of each.

use std::cmp::Ordering;

use tenantry::{Compare, Expr, Order, Select, TenantQuery};

use super::cell::{Cell, Kind};
use super::condition::{COMPARISONS, Place, Relations};
use super::eval::{Tuple, cell, compares, shown};
use super::question::{Answer, in_order};
use super::random::Random;

#[derive(Clone, Debug)]
pub(super) struct Groups {
    pub(super) by: Vec<Place>,
    pub(super) values: Vec<Aggregate>,
    pub(super) having: Option<(Aggregate, Compare, i64)>,
    pub(super) counts: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Aggregate {
    Count,
    CountOf(Place),
    CountDistinct(Place),
    Sum(Place),
    Min(Place),
    Max(Place),
}

impl Groups {
    pub(super) fn random(random: &mut Random, relations: &Relations<'_>) -> Self {
        let mut by = Vec::new();
        for _ in 0..random.below(3) {
            by.extend(relations.place(random, Kind::is_ordered));
        }
        let values = (0..=random.below(3))
            .map(|_| Aggregate::random(random, relations))
            .collect();
        let having = (!by.is_empty() && random.chance(40)).then(|| {
            let value = loop {
                let value = Aggregate::random(random, relations);
                if !matches!(value, Aggregate::Min(_) | Aggregate::Max(_)) {
                    break value;
                }
            };
            (
                value,
                *random.pick(&COMPARISONS),
                i64::try_from(random.below(4)).unwrap_or_default(),
            )
        });
        Self {
            counts: !by.is_empty() && random.chance(15),
            by,
            values,
            having,
        }
    }

    pub(super) fn asked<'t>(
        &self,
        query: TenantQuery<'t, Select<'t>>,
        relations: &Relations<'_>,
    ) -> TenantQuery<'t, Select<'t>> {
        let names: Vec<String> = self.by.iter().map(|place| relations.name(*place)).collect();
        let mut query = query.columns(names.clone()).group_by(names.clone());
        for (at, value) in self.values.iter().enumerate() {
            query = query.column_as(value.asked(relations), format!("value \"{at}\""));
        }
        for name in names {
            query = query.order_by(name, Order::Asc);
        }
        match &self.having {
            Some((value, how, than)) => query.having(value.asked(relations), *how, Expr::value(*than)),
            None => query,
        }
    }

    pub(super) fn expected(&self, tuples: Vec<Tuple<'_>>) -> Answer {
        let order: Vec<_> = self.by.iter().map(|place| (*place, Order::Asc)).collect();
        let mut groups: Vec<Vec<Tuple<'_>>> = Vec::new();
        for tuple in tuples {
            let same = |group: &&mut Vec<Tuple<'_>>| in_order(&order, &group[0], &tuple).is_eq();
            match groups.iter_mut().find(same) {
                Some(group) => group.push(tuple),
                None => groups.push(vec![tuple]),
            }
        }
        if self.by.is_empty() && groups.is_empty() {
            groups.push(Vec::new());
        }
        if let Some((value, how, than)) = &self.having {
            groups.retain(|group| compares(&value.of(group), *how, &Cell::Int(*than)) == Some(true));
        }
        if self.counts {
            return Answer::Count(groups.len() as u64);
        }
        if !self.by.is_empty() {
            groups.sort_by(|one, other| in_order(&order, &one[0], &other[0]));
        }
        let rows: Vec<Vec<Cell>> = (groups.iter())
            .map(|group| {
                let keys = group
                    .first()
                    .map(|tuple| shown(tuple, &self.by))
                    .unwrap_or_default();
                keys.into_iter()
                    .chain(self.values.iter().map(|value| value.of(group)))
                    .collect()
            })
            .collect();
        Answer::of(&rows, !self.by.is_empty())
    }
}

impl Aggregate {
    fn random(random: &mut Random, relations: &Relations<'_>) -> Self {
        let has_extremes = |kind| {
            matches!(
                kind,
                Kind::Integer | Kind::BigInt | Kind::Text | Kind::Time | Kind::Double
            )
        };
        let of = |kind: Kind| kind == Kind::Integer;
        match random.below(6) {
            0 => relations.place(random, |_| true).map(Self::CountOf),
            1 => relations.place(random, |_| true).map(Self::CountDistinct),
            2 => relations.place(random, of).map(Self::Sum),
            3 => relations.place(random, has_extremes).map(Self::Min),
            4 => relations.place(random, has_extremes).map(Self::Max),
            _ => None,
        }
        .unwrap_or(Self::Count)
    }

    fn asked<'t>(self, relations: &Relations<'_>) -> Expr<'t> {
        let of = |place| relations.name(place);
        match self {
            Self::Count => Expr::count(),
            Self::CountOf(place) => Expr::count_of(of(place)),
            Self::CountDistinct(place) => Expr::count_distinct(of(place)),
            Self::Sum(place) => Expr::sum(of(place)),
            Self::Min(place) => Expr::min(of(place)),
            Self::Max(place) => Expr::max(of(place)),
        }
    }

    fn of(self, group: &[Tuple<'_>]) -> Cell {
        let number = |count: usize| Cell::Int(i64::try_from(count).unwrap_or_default());
        let all = |place| {
            group
                .iter()
                .map(move |tuple| cell(tuple, place))
                .filter(|cell| !cell.is_null())
        };
        let least = |place, wanted| {
            let least = all(place).reduce(|one, other| {
                if other.compare(one) == Some(wanted) {
                    other
                } else {
                    one
                }
            });
            least.cloned().unwrap_or(Cell::Null)
        };
        match self {
            Self::Count => number(group.len()),
            Self::CountOf(place) => number(all(place).count()),
            Self::CountDistinct(place) => {
                let mut known: Vec<&Cell> = Vec::new();
                for cell in all(place) {
                    if !known.iter().any(|of| of.is_same(cell)) {
                        known.push(cell);
                    }
                }
                number(known.len())
            }
            Self::Sum(place) => {
                let sum = |sum: Cell, of: &Cell| match (sum, of) {
                    (Cell::Int(sum), Cell::Int(of)) => Cell::Int(sum + of),
                    (_, of) => of.clone(),
                };
                all(place).fold(Cell::Null, sum)
            }
            Self::Min(place) => least(place, Ordering::Less),
            Self::Max(place) => least(place, Ordering::Greater),
        }
    }
}
