//! How chunks and documents lie in the lexical engine.
//!
//! Each chunk is one document of the engine. A document's first chunk is its head and carries the document too; a
//! document without text has a head that is no chunk.

use std::collections::BTreeMap;

use berth_types::{Document, DocumentRecord};
use tantivy::schema::{
    BytesOptions, FAST, Field, IndexRecordOption, JsonObjectOptions, NumericOptions, OwnedValue, STORED, Schema,
    TextFieldIndexing, TextOptions,
};
use tantivy::{IndexSettings, TantivyDocument, Term};

use crate::analysis::Analysis;
use crate::fields::Value;
use crate::lexical::Fields;
use crate::manifest::{LexicalEntry, has_fields, has_languages};
use crate::{NewChunk, analysis, sparse, stored};

/// Names of the columns that are read by name.
pub(crate) mod column {
    pub(crate) const ID: &str = "id";
    pub(crate) const CONTENT_HASH: &str = "content_hash";
    pub(crate) const FILE: &str = "file";
    pub(crate) const MODIFIED_NS: &str = "modified_ns";
    pub(crate) const CHUNKS: &str = "chunks";
    pub(crate) const DOCUMENT_NO: &str = "document_no";
    pub(crate) const CHUNK_ID: &str = "chunk_id";
    pub(crate) const ORDINAL: &str = "ordinal";
    pub(crate) const START: &str = "start";
    pub(crate) const END: &str = "end";
    pub(crate) const TOKENS: &str = "tokens";
    /// The object whose members are the columns of metadata fields.
    pub(crate) const FIELDS: &str = "fields";
    /// Code of the document's language.
    pub(crate) const LANGUAGE: &str = "language";
}

/// Where the sparse vectors of chunks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SparseFields {
    /// Pieces of the vocabulary, by id, with their impacts as frequencies.
    pub(crate) terms: Field,
    /// The vector as bytes.
    pub(crate) stored: Field,
}

/// The schema of the lexical half with its fields at hand.
#[derive(Debug, Clone)]
pub(crate) struct LexicalSchema {
    pub(crate) schema: Schema,
    /// Name of the analyser.
    pub(crate) analyzer: &'static str,
    body: Field,
    title: Field,
    id: Field,
    head: Field,
    document_no: Field,
    chunk_id: Field,
    ordinal: Field,
    start: Field,
    end: Field,
    tokens: Field,
    pub(crate) stored: Field,
    content_hash: Field,
    file: Field,
    modified_ns: Field,
    chunks: Field,
    /// Of an index that has metadata fields.
    pub(crate) metadata: Option<MetadataFields>,
    /// Of an index that knows languages.
    pub(crate) languages: Option<LanguageFields>,
    /// Of an index that has sparse vectors.
    pub(crate) sparse: Option<SparseFields>,
}

/// Where the values of metadata fields are, on heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MetadataFields {
    /// Columns, one a field: what is no text, and for a text that it is there.
    columns: Field,
    /// Words of texts.
    pub(crate) texts: Field,
}

/// What an index that knows languages has beside the terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LanguageFields {
    /// The words of title and text as they are written, folded, runs left out: which chunks have them.
    pub(crate) words: Field,
    /// On heads.
    code: Field,
}

/// How a document's texts are analysed, and the code of its language where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DocumentLanguage {
    pub(crate) analysis: Analysis,
    pub(crate) code: Option<&'static str>,
}

impl LexicalSchema {
    /// The schema that an index of this format, with sparse vectors or without, has for ever.
    pub(crate) fn of_format(format: u32, has_sparse: bool) -> Self {
        let analyzer = analyzer(format);
        let text = |record: IndexRecordOption| {
            let indexing = TextFieldIndexing::default().set_tokenizer(analyzer).set_index_option(record);
            TextOptions::default().set_indexing_options(indexing)
        };
        let raw = TextFieldIndexing::default()
            .set_tokenizer("raw")
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::Basic);
        // Every number of a chunk is looked up or read by column; none needs a field length.
        let looked_up: NumericOptions = NumericOptions::default().set_indexed();
        let column = NumericOptions::from(FAST);
        let mut builder = Schema::builder();
        let body = builder.add_text_field("body", text(IndexRecordOption::WithFreqsAndPositions));
        // An index with metadata fields also has a language that knows phrases.
        let of_title =
            if has_fields(format) { IndexRecordOption::WithFreqsAndPositions } else { IndexRecordOption::WithFreqs };
        let title = builder.add_text_field("title", text(of_title));
        let id = builder.add_text_field(column::ID, TextOptions::default().set_indexing_options(raw).set_fast("raw"));
        let head = builder.add_u64_field("head", looked_up.clone());
        let document_no = builder.add_u64_field(column::DOCUMENT_NO, looked_up.clone().set_fast());
        let chunk_id = builder.add_u64_field(column::CHUNK_ID, looked_up.set_fast());
        let ordinal = builder.add_u64_field(column::ORDINAL, column.clone());
        let start = builder.add_u64_field(column::START, column.clone());
        let end = builder.add_u64_field(column::END, column.clone());
        let tokens = builder.add_u64_field(column::TOKENS, column.clone());
        let stored = builder.add_bytes_field("stored", BytesOptions::from(STORED));
        let content_hash = builder.add_text_field(column::CONTENT_HASH, FAST);
        let file = builder.add_text_field(column::FILE, FAST);
        let modified_ns = builder.add_i64_field(column::MODIFIED_NS, column.clone());
        let chunks = builder.add_u64_field(column::CHUNKS, column);
        let metadata = has_fields(format).then(|| {
            let words = TextFieldIndexing::default()
                .set_tokenizer(analyzer)
                .set_fieldnorms(false)
                .set_index_option(IndexRecordOption::WithFreqsAndPositions);
            let texts = JsonObjectOptions::default().set_indexing_options(words);
            MetadataFields {
                columns: builder.add_json_field(column::FIELDS, JsonObjectOptions::default().set_fast("raw")),
                texts: builder.add_json_field("texts", texts),
            }
        });
        let languages = has_languages(format).then(|| {
            let words = TextFieldIndexing::default()
                .set_tokenizer(analysis::WORDS_ANALYZER)
                .set_fieldnorms(false)
                .set_index_option(IndexRecordOption::Basic);
            LanguageFields {
                words: builder.add_text_field("words", TextOptions::default().set_indexing_options(words)),
                code: builder.add_text_field(column::LANGUAGE, TextOptions::default().set_fast("raw")),
            }
        });
        let sparse = has_sparse.then(|| {
            // A vector has no length: what weighs is in the impacts.
            let pieces = TextFieldIndexing::default()
                .set_tokenizer(sparse::ANALYZER)
                .set_fieldnorms(false)
                .set_index_option(IndexRecordOption::WithFreqs);
            SparseFields {
                terms: builder.add_text_field("terms", TextOptions::default().set_indexing_options(pieces)),
                stored: builder.add_bytes_field("sparse", BytesOptions::from(STORED)),
            }
        });
        let schema = builder.build();
        Self {
            schema,
            analyzer,
            body,
            title,
            id,
            head,
            document_no,
            chunk_id,
            ordinal,
            start,
            end,
            tokens,
            stored,
            content_hash,
            file,
            modified_ns,
            chunks,
            metadata,
            languages,
            sparse,
        }
    }

    /// Settings of the engine. Compressing on a thread of its own would take a core from the encoder.
    pub(crate) fn engine_settings() -> IndexSettings {
        IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() }
    }

    /// What the manifest remembers, so that another schema or analyser is noticed.
    pub(crate) fn entry(&self) -> LexicalEntry {
        let json = serde_json::to_vec(&self.schema).expect("a schema is plain data");
        LexicalEntry { analyzer: self.analyzer.to_string(), schema: blake3::hash(&json).to_hex().to_string() }
    }

    /// The fields that lexical search reads.
    pub(crate) fn fields(&self) -> Fields {
        Fields { body: self.body, title: self.title, chunk_id: self.chunk_id, document_no: self.document_no }
    }

    /// The term of a word in a field of kind text; the start of one, where the word is.
    pub(crate) fn text_term(&self, name: &str, word: &str) -> Option<Term> {
        let mut term = Term::from_field_json_path(self.metadata?.texts, &escaped(name), false);
        term.append_type_and_str(word);
        Some(term)
    }

    pub(crate) fn id_term(&self, id: &str) -> Term {
        Term::from_field_text(self.id, id)
    }

    pub(crate) fn head_term(&self, document_no: u64) -> Term {
        Term::from_field_u64(self.head, document_no)
    }

    pub(crate) fn document_term(&self, document_no: u64) -> Term {
        Term::from_field_u64(self.document_no, document_no)
    }

    pub(crate) fn chunk_term(&self, chunk_id: u64) -> Term {
        Term::from_field_u64(self.chunk_id, chunk_id)
    }

    /// The engine's documents for one of ours, the head first. Chunks are numbered from `first_chunk_id`.
    pub(crate) fn engine_documents<'a>(
        &'a self,
        (document, language): (&'a Document, DocumentLanguage),
        (record, values): (&'a DocumentRecord, BTreeMap<String, Vec<Value>>),
        document_no: u64,
        first_chunk_id: u64,
        chunks: &'a [NewChunk],
    ) -> impl Iterator<Item = TantivyDocument> + 'a {
        let mut head = TantivyDocument::default();
        head.add_text(self.id, &document.id);
        head.add_u64(self.head, document_no);
        head.add_bytes(self.stored, &stored::encode(document));
        head.add_text(self.content_hash, &record.content_hash);
        head.add_text(self.file, &record.file);
        head.add_i64(self.modified_ns, record.modified_ns);
        head.add_u64(self.chunks, u64::from(record.chunks));
        // Where there are no languages the analyser reads no marks.
        let marked = move |text: &str| match self.languages {
            Some(_) => analysis::marked(text, language.analysis),
            None => text.to_owned(),
        };
        if let Some(metadata) = self.metadata {
            metadata.add(&mut head, values, &marked);
        }
        if let (Some(languages), Some(code)) = (self.languages, language.code) {
            head.add_text(languages.code, code);
        }
        let lone_head = if chunks.is_empty() {
            let mut lone = std::mem::take(&mut head);
            lone.add_u64(self.document_no, document_no);
            Some(lone)
        } else {
            None
        };
        let with_text = chunks.iter().enumerate().map(move |(position, new)| {
            let chunk = &new.chunk;
            let mut entry = std::mem::take(&mut head);
            entry.add_u64(self.document_no, document_no);
            entry.add_u64(self.chunk_id, first_chunk_id + position as u64);
            entry.add_u64(self.ordinal, u64::from(chunk.ordinal));
            entry.add_u64(self.start, chunk.byte_range.start as u64);
            entry.add_u64(self.end, chunk.byte_range.end as u64);
            entry.add_u64(self.tokens, u64::from(chunk.tokens));
            let mut body = marked(&document.title);
            if !document.title.is_empty() {
                entry.add_text(self.title, &body);
                body.push('\n');
            }
            body.push_str(&document.text[chunk.byte_range.clone()]);
            if let Some(languages) = self.languages {
                entry.add_text(languages.words, &body);
            }
            entry.add_text(self.body, body);
            // The last of what is stored, where it is looked for.
            if let (Some(fields), Some(row)) = (self.sparse, &new.sparse) {
                entry.add_text(fields.terms, sparse::text_of(&row.vector));
                entry.add_bytes(fields.stored, &sparse::encode(row));
            }
            entry
        });
        lone_head.into_iter().chain(with_text)
    }
}

impl MetadataFields {
    fn add(self, head: &mut TantivyDocument, values: BTreeMap<String, Vec<Value>>, marked: &impl Fn(&str) -> String) {
        let (mut columns, mut texts) = (Vec::new(), Vec::new());
        for (name, values) in values {
            let mut words = Vec::new();
            let mut column = Vec::new();
            for value in values {
                match value {
                    Value::Text(text) => words.push(OwnedValue::Str(marked(&text))),
                    Value::Keyword(text) => column.push(OwnedValue::Str(text)),
                    Value::Integer(number) | Value::Date(number) => column.push(OwnedValue::I64(number)),
                    Value::Float(number) => column.push(OwnedValue::F64(number)),
                    Value::Boolean(yes) => column.push(OwnedValue::Bool(yes)),
                }
            }
            if !words.is_empty() {
                column.push(OwnedValue::Bool(true));
                texts.push((name.clone(), OwnedValue::Array(words)));
            }
            columns.push((name, OwnedValue::Array(column)));
        }
        for (field, object) in [(self.columns, columns), (self.texts, texts)] {
            if !object.is_empty() {
                head.add_field_value(field, &OwnedValue::Object(object));
            }
        }
    }
}

/// Name of the analyser of an index of this format.
fn analyzer(format: u32) -> &'static str {
    if has_languages(format) { analysis::ANALYZER } else { analysis::ENGLISH_ANALYZER }
}

/// The name under which the engine knows the column of a metadata field.
pub(crate) fn column_name(name: &str) -> String {
    format!("{}.{}", column::FIELDS, escaped(name))
}

/// A name without levels: the engine splits at dots.
fn escaped(name: &str) -> String {
    name.replace('.', "\\.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change here changes what is on disk: raise the formats in `manifest` or the analyser's name with it.
    #[test]
    fn the_schema_is_the_one_of_its_format() {
        let names = |schema: &LexicalSchema| {
            let names: Vec<String> = schema.schema.fields().map(|(_, entry)| entry.name().to_string()).collect();
            names.join(" ")
        };
        let of_the_first = "body title id head document_no chunk_id ordinal start end tokens stored content_hash file \
                            modified_ns chunks";
        for format in [1, 2] {
            let schema = LexicalSchema::of_format(format, false);
            assert_eq!(names(&schema), of_the_first);
            assert_eq!(
                schema.entry().schema,
                "da41c3f78c3cecee33dff3bc0217d91fc7e13b0e5e04cc41099fab6eef9677b3",
                "as the first release wrote it"
            );
        }
        let with_fields = LexicalSchema::of_format(3, false);
        assert_eq!(names(&with_fields), format!("{of_the_first} fields texts words language"));
        assert_eq!(with_fields.entry().schema, "69e3e9608189344babd4200a538860ea54b4d0a668e14dc912c30b7d00ae7f48");
        let with_sparse = LexicalSchema::of_format(3, true);
        assert_eq!(names(&with_sparse), format!("{} terms sparse", names(&with_fields)));
        assert_eq!(with_sparse.entry().schema, "2c7f45a3689cddbd85cd979f3383a86465b52011626e0c56dbd960a31180e9d9");
    }
}
