//! `berth embed TEXT…`: vectors of texts, in the form in which they are wanted.

mod lines;

use std::path::Path;

use berth_pipeline::{
    Asking, Encoder, Error, FileRow, Home, Input, Inputs, LateAnswer, Overlong, Prompt, RowFormat, RowWriter,
    SentenceAnswer, SparseAnswer, TextWindow, TokensAnswer, ask_windows, asking, open_head, vectors,
};
use berth_types::{Embedding, Head};

use self::lines::{LateLine, LayersLine, Lines, Place, SparseLine, TokensLine, VectorLine};
use crate::Outcome;
use crate::commands::texts::{ahead, each, inputs, one_text};
use crate::head_args::{DtypeWord, EmbedArgs, FormatWord};
use crate::output::{Terms, WrongUsage, say};

/// Tokens that neighbouring windows share, as where documents are indexed.
const OVERLAP_TOKENS: usize = 64;

pub(crate) fn run(home: &Home, args: &EmbedArgs, terms: Terms) -> anyhow::Result<Outcome> {
    let head = match args {
        EmbedArgs { sparse: true, .. } => Head::Sparse,
        EmbedArgs { late: true, .. } => Head::Late,
        EmbedArgs { tokens: true, .. } => Head::Tokens,
        _ if !args.layers.is_empty() => Head::Layers,
        _ if args.pooling.is_some() => Head::Tokens,
        _ => Head::Sentence,
    };
    let several = args.sparse || args.late || args.tokens || !args.layers.is_empty();
    let row_format = match args.format {
        FormatWord::Jsonl => None,
        FormatWord::Npy => Some(RowFormat::Npy),
        FormatWord::Parquet => Some(RowFormat::Parquet),
    };
    if row_format.is_some() && several {
        return Err(usage("--sparse, --late, --tokens and --layers come as jsonl; leave --format out"));
    }
    if several && args.dtype != DtypeWord::F32 {
        return Err(usage(
            "--dtype is for one vector a text; leave it out with --sparse, --late, --tokens and --layers",
        ));
    }
    let out = match (row_format, &args.out) {
        (Some(_), None) => return Err(usage("npy and parquet are files; name one with --out")),
        (_, out) => out.as_deref(),
    };
    let texts = inputs(&args.text.texts, &args.text.lines)?;
    let layers = (!args.layers.is_empty()).then(|| args.layers.clone());
    let encoder = open_head(home, &args.text.run.choice(), head, layers)?;
    if let (Some(format), Some(out)) = (row_format, out) {
        let dimensions = dimensions(&encoder, args)?;
        return to_file(&encoder, texts, args, (out, format, dimensions));
    }
    if args.dimensions.is_some() {
        dimensions(&encoder, args)?;
    }
    let mut lines = Lines::open(out, &args.text.lines, terms)?;
    let outcome = to_lines(&encoder, texts, args, &mut lines)?;
    // What an interruption left is no complete file.
    if outcome != Outcome::Interrupted {
        lines.finish()?;
    }
    Ok(outcome)
}

fn to_lines(encoder: &Encoder, texts: Inputs, args: &EmbedArgs, lines: &mut Lines) -> anyhow::Result<Outcome> {
    let overlong = args.truncate.overlong();
    let prompt = encoder.prompt_named(&args.prompt).map_err(Error::from)?;
    let settings = (ahead(encoder), &args.text.lines);
    if args.sparse {
        let ask = |input: &Input| asking(encoder.ask_sparse(one_text(input)?, args.floor, overlong));
        return each(texts, settings, ask, |input, SparseAnswer { terms, truncated }| {
            lines.sparse(input, &SparseLine { id: &input.id, terms: &terms, truncated })
        });
    }
    if args.late {
        if !["query", "passage"].contains(&args.prompt.as_str()) {
            return Err(usage(&format!("--late takes --prompt query or passage, not '{}'", args.prompt)));
        }
        let ask = |input: &Input| asking(encoder.ask_late(one_text(input)?, prompt, overlong));
        return each(texts, settings, ask, |input, LateAnswer { vectors, truncated }| {
            lines.late(input, &LateLine { id: &input.id, vectors: vectors.rows().collect(), truncated })
        });
    }
    if args.tokens {
        let ask = |input: &Input| asking(encoder.ask_tokens(one_text(input)?));
        return each(texts, settings, ask, |input, TokensAnswer { tokens, dimensions, values }| {
            let vectors = values.chunks_exact(dimensions.max(1)).collect();
            let bytes = tokens.offsets.iter().map(|range| [range.start, range.end]).collect();
            lines.tokens(input, &TokensLine { id: &input.id, ids: &tokens.ids, bytes, vectors })
        });
    }
    if !args.layers.is_empty() {
        // States of a long text in many layers are large, so that few are kept at once.
        let settings = (settings.0.min(4), settings.1);
        let ask = |input: &Input| asking(encoder.ask_layers(one_text(input)?, overlong));
        return each(texts, settings, ask, |input, answer| {
            lines.layers(input, &LayersLine::new(&input.id, &answer, &args.layers))
        });
    }
    let dtype = args.dtype.dtype();
    vectors_of(encoder, texts, args, |input, place, vector| {
        let line = VectorLine::new(&input.id, place, dtype.values(vector.as_slice()));
        lines.vector(input, &line, args.dtype)
    })
}

fn to_file(
    encoder: &Encoder,
    texts: Inputs,
    args: &EmbedArgs,
    (out, format, dimensions): (&Path, RowFormat, usize),
) -> anyhow::Result<Outcome> {
    let dtype = args.dtype.dtype();
    let mut writer = RowWriter::create(out, format, dtype, dimensions)?;
    let (mut rows, mut truncated) = (0_usize, 0_usize);
    let outcome = vectors_of(encoder, texts, args, |input, place, vector| {
        let text = one_text(input)?;
        let text = place.bytes.map_or(text, |[start, end]| &text[start..end]).to_owned();
        let id = place.named(&input.id);
        rows += 1;
        truncated += usize::from(place.truncated > 0);
        Ok(writer.push(FileRow { id, text, values: dtype.values(vector.as_slice()) })?)
    })?;
    if outcome == Outcome::Interrupted {
        return Ok(outcome);
    }
    writer.finish()?;
    if truncated > 0 {
        say(&format!("berth: {truncated} texts were cut to what the model takes"));
    }
    say(&format!("berth: {rows} vectors of {dimensions} values in {}", out.display()));
    Ok(outcome)
}

/// Hands each vector of each text to `take`, with its place in the text.
fn vectors_of(
    encoder: &Encoder,
    texts: Inputs,
    args: &EmbedArgs,
    mut take: impl FnMut(&Input, Place, &Embedding) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let prompt = encoder.prompt_named(&args.prompt).map_err(Error::from)?;
    let overlong = args.truncate.overlong();
    let settings = (ahead(encoder), &args.text.lines);
    let cut = |vector: Embedding| match args.dimensions {
        Some(dimensions) => vectors::cut(&vector, dimensions as usize).map_err(Error::from),
        None => Ok(vector),
    };
    if args.windows {
        let window = encoder.card().recommended_window_tokens;
        let ask = |input: &Input| -> Result<Asking<'_, Vec<TextWindow>>, Error> {
            ask_windows(encoder, one_text(input)?, (window, OVERLAP_TOKENS))
        };
        return each(texts, settings, ask, |input, windows| {
            for (number, window) in windows.into_iter().enumerate() {
                let bytes = Some([window.bytes.start, window.bytes.end]);
                let place = Place { window: Some(number), bytes, tokens: window.tokens, truncated: 0 };
                take(input, place, &cut(window.embedding)?)?;
            }
            Ok(())
        });
    }
    let ask = |input: &Input| match args.pooling {
        Some(pooling) => asking(encoder.ask_pooled(one_text(input)?, pooling, (prompt, overlong))),
        None => asking(encoder.ask_sentence(one_text(input)?, prompt, overlong)),
    };
    each(texts, settings, ask, |input, SentenceAnswer { embedding, tokens, truncated, .. }| {
        let place = Place { window: None, bytes: None, tokens, truncated };
        take(input, place, &cut(embedding)?)
    })
}

/// Values of each vector. `--dimensions` may not ask for more than there are; for fewer than the model was trained for
/// there is a word.
fn dimensions(encoder: &Encoder, args: &EmbedArgs) -> anyhow::Result<usize> {
    let card = encoder.card();
    // The card counts what its own pooling and the modules behind it give; another pooling gives what the layers have.
    let own = match args.pooling {
        Some(pooling) => {
            let settings = (Prompt::None, Overlong::Cut);
            asking(encoder.ask_pooled("a", pooling, settings))?.wait()?.embedding.dimensions()
        }
        None => card.dimensions,
    };
    let Some(asked) = args.dimensions.map(|dimensions| dimensions as usize) else { return Ok(own) };
    if asked > own {
        return Err(usage(&format!("--dimensions {asked} is more than the {own} of '{}'", card.name)));
    }
    if asked < own && !card.matryoshka.contains(&asked) {
        let trained = card.matryoshka.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let trained = if trained.is_empty() { "no shorter vectors".to_owned() } else { trained };
        say(&format!("berth: '{}' was trained for {trained}; one of {asked} loses more than size", card.name));
    }
    Ok(asked)
}

fn usage(message: &str) -> anyhow::Error {
    WrongUsage(message.to_owned()).into()
}
