//! Which layers a node stands in, and with that the order of the nodes.

/// Layers of a graph, the lowest included. With 16 links a node, a sixteenth of a layer stands in the next higher one,
/// so that the highest of 4 billion rows has few nodes still.
pub(super) const MOST_LAYERS: usize = 9;

/// The rows of a segment in the order of its graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// The row of each node.
    pub(crate) rows: Vec<u32>,
    /// How many nodes each layer has, the lowest first: that layer has all.
    pub(crate) layer_nodes: Vec<usize>,
}

impl Order {
    /// Draws a height for each row. The same row of a segment of the same size always gets the same one.
    ///
    /// A share of 1 / `m` of each layer stands in the next, as the paper has it (mL = 1 / ln M).
    pub(crate) fn of(rows: usize, m: usize) -> Self {
        let height = |row: usize| {
            let mut draw = mix(row as u64);
            let mut height = 0;
            while height + 1 < MOST_LAYERS && draw.is_multiple_of(m as u64) {
                draw = mix(draw);
                height += 1;
            }
            height
        };
        Self::of_heights(&(0..rows).map(height).collect::<Vec<usize>>())
    }

    /// The order of rows whose highest layers are given.
    pub(super) fn of_heights(heights: &[usize]) -> Self {
        let mut order: Vec<u32> = (0..heights.len() as u32).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(heights[row as usize]));
        let highest = heights.iter().copied().max().unwrap_or(0);
        let layer_nodes = (0..=highest).map(|layer| heights.iter().filter(|&&height| height >= layer).count());
        Self { layer_nodes: layer_nodes.collect(), rows: order }
    }
}

/// Mixes the bits of a number (the last step of splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_has_about_a_sixteenth_of_the_one_below() {
        let order = Order::of(100_000, 16);
        let mut rows = order.rows.clone();
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..100_000));
        assert_eq!(order.layer_nodes[0], 100_000);
        assert!((5_500..7_000).contains(&order.layer_nodes[1]), "{:?}", order.layer_nodes);
        assert!((300..500).contains(&order.layer_nodes[2]), "{:?}", order.layer_nodes);
        for layer in &order.layer_nodes {
            assert!(order.rows[..*layer].len() == *layer);
        }
        let lowest = &order.rows[order.layer_nodes[1]..];
        assert!(lowest.is_sorted(), "nodes of the same height stand in the order of rows");
    }

    #[test]
    fn small_segments_have_one_layer_at_least() {
        assert_eq!(Order::of(1, 16), Order { rows: vec![0], layer_nodes: Order::of(1, 16).layer_nodes });
        assert_eq!(Order::of(0, 16).layer_nodes, [0]);
    }
}
