//! The file of a graph: rows in 8 bits and links, mapped and walked as they lie.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::walk::{Found, Links, Scratch};
use super::{Layer, Order};
use crate::Error;
use crate::blocks::{BlockFile, BlockWriter, Seal};
use crate::dense::codes::{CodeQuery, Codes};
use crate::dense::plain::{Plain, bytes_of, numbers_of};
use crate::disk::Disk;

const MAGIC: [u8; 8] = *b"BerthGrf";
const VERSION: u32 = 1;
/// Codes of 8 bits with a scale a row. Other encodings get other numbers.
const KIND_INT8: u32 = 1;
const HEADER_BYTES: usize = 256;
/// Most layers that the header has room for.
const MOST_LAYERS: usize = 12;
/// Every section begins on a cache line.
const ALIGNMENT: usize = 64;

/// Where the sections stand, from the shape alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    dimensions: usize,
    stride: usize,
    nodes: usize,
    rows: usize,
    scales: usize,
    codes: usize,
    layers: Vec<LayerLayout>,
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LayerLayout {
    nodes: usize,
    offsets: usize,
    links: usize,
    links_count: usize,
}

impl Layout {
    /// `layers` gives nodes and links of each, the lowest first.
    fn of(dimensions: u64, layers: &[(u64, u64)]) -> Option<Self> {
        let nodes = layers.first()?.0;
        u32::try_from(nodes).ok().filter(|&nodes| nodes < 1 << 31)?;
        let stride = u64::from(u32::try_from(dimensions).ok()?).next_multiple_of(32);
        let mut at = HEADER_BYTES as u64;
        let mut section = |count: u64, bytes: u64| {
            let start = at;
            at = count.checked_mul(bytes)?.checked_add(at)?.checked_next_multiple_of(ALIGNMENT as u64)?;
            usize::try_from(start).ok()
        };
        let rows = section(nodes, 4)?;
        let scales = section(nodes, 4)?;
        let codes = section(nodes, stride)?;
        let mut placed = Vec::with_capacity(layers.len());
        for (layer, &(nodes, links)) in layers.iter().enumerate() {
            if nodes == 0 || layer > 0 && nodes > layers[layer - 1].0 {
                return None;
            }
            let offsets = section(nodes + 1, 4)?;
            let links_count = u32::try_from(links).ok()? as usize;
            placed.push(LayerLayout { nodes: nodes as usize, offsets, links: section(links, 4)?, links_count });
        }
        let (dimensions, stride, nodes) = (dimensions as usize, stride as usize, nodes as usize);
        Some(Self { dimensions, stride, nodes, rows, scales, codes, layers: placed, end: usize::try_from(at).ok()? })
    }

    fn header(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&KIND_INT8.to_le_bytes());
        header.extend_from_slice(&(self.dimensions as u64).to_le_bytes());
        header.extend_from_slice(&(self.layers.len() as u64).to_le_bytes());
        for layer in &self.layers {
            header.extend_from_slice(&(layer.nodes as u64).to_le_bytes());
            header.extend_from_slice(&(layer.links_count as u64).to_le_bytes());
        }
        header.resize(HEADER_BYTES, 0);
        header
    }
}

/// Writes a graph that has at least one node. `codes` and `layers` are in the order of `order`.
pub(crate) fn write_graph(
    disk: &Disk,
    path: &Path,
    dimensions: usize,
    codes: &Codes<'_>,
    order: &Order,
    layers: &[Layer],
) -> Result<Seal, Error> {
    let shape: Vec<(u64, u64)> = layers.iter().map(|layer| (layer.nodes() as u64, layer.links.len() as u64)).collect();
    let layout = Layout::of(dimensions as u64, &shape).filter(|layout| layout.layers.len() <= MOST_LAYERS);
    let layout = layout.expect("a graph of at least one node that fits its numbers");
    let mut file = BlockWriter::create(disk, path)?;
    let mut at = 0;
    let mut put = |start: usize, bytes: &[u8]| {
        const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];
        let padding = start - at;
        at = start + bytes.len();
        let written = file.write_all(&ZEROS[..padding]).and_then(|()| file.write_all(bytes));
        written.map_err(|error| Error::io("write", path, error))
    };
    put(0, &layout.header())?;
    put(layout.rows, bytes_of(&order.rows))?;
    put(layout.scales, bytes_of(codes.scales()))?;
    put(layout.codes, codes.bytes())?;
    for (layer, place) in layers.iter().zip(&layout.layers) {
        put(place.offsets, bytes_of(&layer.offsets))?;
        put(place.links, bytes_of(&layer.links))?;
    }
    put(layout.end, &[])?;
    file.finish()
}

/// A graph that is open for walking.
#[derive(Debug)]
pub(crate) struct GraphFile {
    file: Arc<BlockFile>,
    layout: Layout,
}

impl GraphFile {
    /// Checks the header against the file's length and the segment that it is a graph of.
    ///
    /// # Errors
    /// `Corrupted`, `UnknownFormat`.
    pub(crate) fn open(file: Arc<BlockFile>, rows: usize, dimensions: usize) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::corrupted(file.path(), reason);
        if file.payload_bytes() < HEADER_BYTES {
            return Err(wrong("it is too short for the header of a graph"));
        }
        let header = file.read(0..HEADER_BYTES)?;
        if header[..8] != MAGIC {
            return Err(wrong("it does not begin as a graph does"));
        }
        let short = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let (version, kind) = (short(8), short(12));
        if (version, kind) != (VERSION, KIND_INT8) {
            return Err(Error::UnknownFormat {
                file: file.path().to_path_buf(),
                found: format!("{version}, codes of kind {kind}"),
                supported: format!("{VERSION}, codes of kind {KIND_INT8}"),
            });
        }
        let layers = (long(24) as usize).min(MOST_LAYERS);
        let shape: Vec<(u64, u64)> = (0..layers).map(|layer| (long(32 + layer * 16), long(40 + layer * 16))).collect();
        match Layout::of(long(16), &shape).filter(|layout| layout.header() == header) {
            Some(layout)
                if layout.end == file.payload_bytes() && layout.nodes == rows && layout.dimensions == dimensions =>
            {
                Ok(Self { file, layout })
            }
            _ => Err(wrong("its header does not fit its length or its segment")),
        }
    }

    pub(crate) fn file(&self) -> &Arc<BlockFile> {
        &self.file
    }

    /// Up to `ef` rows closest to the query as far as 8 bits tell, best first: number of the row and similarity.
    ///
    /// Where `allowed` is given, only such rows are found.
    pub(crate) fn nearest(
        &self,
        query: &CodeQuery,
        ef: usize,
        allowed: Option<&dyn Fn(usize) -> bool>,
        scratch: &mut Scratch,
    ) -> Result<Vec<usize>, Error> {
        let codes = self.codes();
        let mut start = 0;
        for layer in (1..self.layout.layers.len()).rev() {
            start = scratch.descend(&self.layer(layer), &codes, query, start)?;
        }
        let rows = self.unchecked::<u32>(self.layout.rows, self.layout.nodes);
        let allows = allowed.map(|allowed| move |node: u32| allowed(rows[node as usize] as usize));
        let allows = allows.as_ref().map(|allows| allows as &dyn Fn(u32) -> bool);
        let found = scratch.walk(
            &self.layer(0),
            &codes,
            query,
            (start, self.layout.nodes),
            ef.min(self.layout.nodes),
            allows,
        )?;
        found.iter().map(|found| self.row_of(*found)).collect()
    }

    fn row_of(&self, found: Found) -> Result<usize, Error> {
        let row = self.checked::<u32>(self.layout.rows, found.node as usize, 1)?[0] as usize;
        if row < self.layout.nodes {
            return Ok(row);
        }
        Err(Error::corrupted(self.file.path(), format!("its node {} is row {row}", found.node)))
    }

    fn layer(&self, layer: usize) -> FrozenLayer<'_> {
        FrozenLayer { graph: self, place: self.layout.layers[layer] }
    }

    /// Codes and scales, each to be checked by [`FrozenLayer::check`] before it is read.
    fn codes(&self) -> Codes<'_> {
        let Layout { stride, nodes, codes, scales, .. } = self.layout;
        Codes::new(&self.file.unchecked()[codes..codes + nodes * stride], self.unchecked(scales, nodes), stride)
    }

    /// Numbers of a section, after their blocks have been verified.
    fn checked<T: Plain>(&self, section: usize, first: usize, count: usize) -> Result<&[T], Error> {
        let start = section + first * size_of::<T>();
        self.file.check(start..start + count * size_of::<T>())?;
        Ok(self.unchecked(start, count))
    }

    /// Numbers of a section, whose blocks somebody else verifies.
    fn unchecked<T: Plain>(&self, start: usize, count: usize) -> &[T] {
        numbers_of(&self.file.unchecked()[start..start + count * size_of::<T>()])
    }
}

/// A layer as it lies in the file.
struct FrozenLayer<'a> {
    graph: &'a GraphFile,
    place: LayerLayout,
}

impl Links for FrozenLayer<'_> {
    fn neighbours(&self, node: u32) -> Result<&[u32], Error> {
        let LayerLayout { nodes, offsets, links, links_count } = self.place;
        let offsets = self.graph.checked::<u32>(offsets, node as usize, 2)?;
        let (start, end) = (offsets[0] as usize, offsets[1] as usize);
        if start <= end && end <= links_count {
            let links = self.graph.checked::<u32>(links, start, end - start)?;
            if links.iter().all(|&link| (link as usize) < nodes) {
                return Ok(links);
            }
        }
        Err(Error::corrupted(self.graph.file.path(), format!("the links of its node {node} lead nowhere")))
    }

    #[inline]
    fn check(&self, node: u32) -> Result<(), Error> {
        let Layout { stride, codes, scales, rows, .. } = self.graph.layout;
        let (file, node) = (&self.graph.file, node as usize);
        if file.is_whole() {
            return Ok(());
        }
        file.check(codes + node * stride..codes + (node + 1) * stride)?;
        file.check(rows + node * 4..rows + node * 4 + 4)?;
        file.check(scales + node * 4..scales + node * 4 + 4)
    }

    #[inline]
    fn prefetch(&self, node: u32) {
        let offset = self.graph.unchecked::<u32>(self.place.offsets, self.place.nodes + 1)[node as usize] as usize;
        self.graph.file.prefetch(self.place.links + offset * 4);
    }
}
