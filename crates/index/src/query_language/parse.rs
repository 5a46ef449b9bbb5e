//! Reads the language by recursive descent. The depth is bounded, so that no text exhausts the stack.

use std::ops::Bound;

use super::{LanguageFault, Leaf, MAX_CLAUSES, MAX_DEPTH, Node, Sought};

/// Fewest characters before `*` or `~` in a query: `C*` and `n~1` are names of things.
const LEAST_STEM: usize = 2;

/// Reads a filter: every clause has a field's name.
pub(crate) fn filter(text: &str) -> Result<Node, LanguageFault> {
    let mut parser = Parser::new(text, None);
    let node = parser.whole()?;
    if node == Node::List(Vec::new()) { Err(LanguageFault::Empty) } else { Ok(node) }
}

/// Reads a query; `None` when it is a question in plain words. A fault comes with operators only.
pub(crate) fn query(text: &str, is_field: &dyn Fn(&str) -> bool) -> Result<Option<Node>, LanguageFault> {
    let mut parser = Parser::new(text, Some(is_field));
    let node = parser.whole();
    if parser.has_operators {
        return node.map(Some);
    }
    let is_phrase = |node: &Node| matches!(node, Node::Leaf(Leaf { value: Sought::Phrase(_), .. }));
    Ok(node.ok().filter(|node| matches!(node, Node::List(nodes) if !nodes.is_empty() && nodes.iter().all(is_phrase))))
}

struct Parser<'a> {
    text: &'a str,
    /// Where the rest begins.
    at: usize,
    /// Names that count as fields; none in a filter, where every name does.
    is_field: Option<&'a dyn Fn(&str) -> bool>,
    /// The field before the bracket that is open.
    field: Option<String>,
    open_brackets: usize,
    depth: usize,
    clauses: usize,
    has_operators: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, is_field: Option<&'a dyn Fn(&str) -> bool>) -> Self {
        Self { text, at: 0, is_field, field: None, open_brackets: 0, depth: 0, clauses: 0, has_operators: false }
    }

    fn is_filter(&self) -> bool {
        self.is_field.is_none()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn whole(&mut self) -> Result<Node, LanguageFault> {
        let node = self.list()?;
        if self.at < self.text.len() {
            return Err(LanguageFault::StrayBracket { at: self.at });
        }
        Ok(node)
    }

    /// Clauses up to the end, or to the bracket that closes them.
    fn list(&mut self) -> Result<Node, LanguageFault> {
        let mut nodes = Vec::new();
        loop {
            self.skip_blanks();
            let closes = self.rest().starts_with(')') && (self.open_brackets > 0 || self.is_filter());
            if self.rest().is_empty() || closes {
                return Ok(Node::List(nodes));
            }
            nodes.push(self.alternatives()?);
        }
    }

    fn alternatives(&mut self) -> Result<Node, LanguageFault> {
        let mut nodes = vec![self.conjunction()?];
        while self.takes_word("OR") {
            nodes.push(self.conjunction()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Or(nodes) })
    }

    fn conjunction(&mut self) -> Result<Node, LanguageFault> {
        let mut nodes = vec![self.signed()?];
        while self.takes_word("AND") {
            nodes.push(self.signed()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::And(nodes) })
    }

    fn signed(&mut self) -> Result<Node, LanguageFault> {
        if self.takes_word("NOT") {
            let negated = self.deeper(Self::signed)?;
            return Ok(Node::Not(Box::new(negated)));
        }
        let mut characters = self.rest().chars();
        let (first, second) = (characters.next(), characters.next());
        let is_sign = matches!(first, Some('+' | '-'))
            && match second {
                Some('"') => self.rest()[2..].contains('"'),
                Some('(') => true,
                Some(c) => c.is_alphabetic() || self.is_filter() && !c.is_whitespace(),
                None => false,
            };
        if !is_sign {
            return self.clause();
        }
        self.has_operators = true;
        self.at += 1;
        let node = Box::new(self.deeper(Self::clause)?);
        Ok(if first == Some('+') { Node::Required(node) } else { Node::Not(node) })
    }

    fn clause(&mut self) -> Result<Node, LanguageFault> {
        self.skip_blanks();
        if self.rest().starts_with('(') {
            return self.brackets();
        }
        let closes = self.rest().starts_with(')') && (self.open_brackets > 0 || self.is_filter());
        let joins = ["AND", "OR"].iter().any(|word| self.starts_with_word(word));
        self.has_operators |= joins;
        if self.rest().is_empty() || closes || joins {
            return Err(LanguageFault::MissingClause { at: self.at });
        }
        self.leaf()
    }

    fn brackets(&mut self) -> Result<Node, LanguageFault> {
        let at = self.at;
        self.at += 1;
        self.open_brackets += 1;
        let node = self.deeper(Self::list)?;
        self.open_brackets -= 1;
        if !self.rest().starts_with(')') {
            return Err(LanguageFault::OpenBracket { at });
        }
        self.at += 1;
        if node == Node::List(Vec::new()) { Err(LanguageFault::MissingClause { at: at + 1 }) } else { Ok(node) }
    }

    fn deeper(&mut self, parse: fn(&mut Self) -> Result<Node, LanguageFault>) -> Result<Node, LanguageFault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(LanguageFault::TooDeep);
        }
        let node = parse(self);
        self.depth -= 1;
        node
    }

    /// Whether a word that joins clauses is next.
    fn starts_with_word(&self, word: &str) -> bool {
        let behind = self.rest().strip_prefix(word).map(|behind| behind.chars().next());
        behind.is_some_and(|next| next.is_none_or(|c| c.is_whitespace() || c == '('))
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let taken = self.starts_with_word(word);
        if taken {
            self.has_operators = true;
            self.at += word.len();
            self.skip_blanks();
        }
        taken
    }

    fn leaf(&mut self) -> Result<Node, LanguageFault> {
        self.clauses += 1;
        if self.clauses > MAX_CLAUSES {
            return Err(LanguageFault::TooManyClauses);
        }
        if let Some(field) = self.field.clone() {
            return self.value(field);
        }
        if let Some(name) = self.name() {
            self.has_operators |= name != "title";
            self.at += name.len() + 1;
            return self.value(name.to_owned());
        }
        if self.is_filter() {
            return Err(LanguageFault::NoName { word: self.word().to_owned() });
        }
        if let Some(phrase) = self.rest().strip_prefix('"').and_then(|behind| behind.split_once('"')) {
            self.at += phrase.0.len() + 2;
            return Ok(Node::Leaf(Leaf { field: None, value: Sought::Phrase(phrase.0.to_owned()) }));
        }
        let word = self.word();
        let value = of_word(word, LEAST_STEM);
        self.has_operators |= !matches!(value, Sought::Word(_));
        Ok(Node::Leaf(Leaf { field: None, value }))
    }

    /// The name before the next value, when there is one.
    fn name(&self) -> Option<&'a str> {
        let end = self.rest().find(|c: char| c.is_whitespace() || matches!(c, ':' | '"' | '(' | ')'))?;
        let (name, behind) = self.rest().split_at(end);
        let has_value = |behind: &str| behind.chars().next().is_some_and(|c| !c.is_whitespace());
        let behind = behind.strip_prefix(':').filter(|_| !name.is_empty())?;
        match self.is_field {
            None => Some(name),
            Some(is_field) => (is_field(name) && has_value(behind)).then_some(name),
        }
    }

    /// What stands behind a name and its colon.
    fn value(&mut self, field: String) -> Result<Node, LanguageFault> {
        let rest = self.rest();
        let leaf = |value| Ok(Node::Leaf(Leaf { field: Some(field.clone()), value }));
        if rest.starts_with('"') {
            return leaf(Sought::Phrase(self.quoted()?));
        }
        if rest.starts_with('(') && self.field.is_none() {
            self.field = Some(field);
            let node = self.brackets();
            self.field = None;
            return node;
        }
        if rest.starts_with(['[', '{']) {
            return leaf(self.range()?);
        }
        for (sign, is_low, is_closed) in
            [(">=", true, true), (">", true, false), ("<=", false, true), ("<", false, false)]
        {
            if rest.starts_with(sign) {
                self.at += sign.len();
                let value = self.operand(&field)?;
                let bound = if is_closed { Bound::Included(value) } else { Bound::Excluded(value) };
                return leaf(if is_low {
                    Sought::Range(bound, Bound::Unbounded)
                } else {
                    Sought::Range(Bound::Unbounded, bound)
                });
            }
        }
        match self.word() {
            "" => Err(LanguageFault::NoValue { name: field }),
            "*" => leaf(Sought::Anything),
            word => leaf(of_word(word, 1)),
        }
    }

    /// A value behind a sign.
    fn operand(&mut self, field: &str) -> Result<String, LanguageFault> {
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        match self.word() {
            "" => Err(LanguageFault::NoValue { name: field.to_owned() }),
            word => Ok(word.to_owned()),
        }
    }

    /// A value in quotes, in which `\"` and `\\` stand for a quote and a backslash.
    fn quoted(&mut self) -> Result<String, LanguageFault> {
        let start = self.at;
        let mut value = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.at = start + at + 1;
                    return Ok(value);
                }
                '\\' => match characters.next() {
                    Some((_, c @ ('"' | '\\'))) => value.push(c),
                    Some((_, c)) => value.extend(['\\', c]),
                    None => break,
                },
                c => value.push(c),
            }
        }
        Err(LanguageFault::OpenQuote { at: start })
    }

    fn range(&mut self) -> Result<Sought, LanguageFault> {
        let at = self.at;
        let fault = || LanguageFault::BadRange { at };
        let low_is_closed = self.rest().starts_with('[');
        self.at += 1;
        let mut ends = Vec::new();
        let close = loop {
            self.skip_blanks();
            let rest = self.rest();
            match rest.chars().next() {
                None => return Err(LanguageFault::OpenBracket { at }),
                Some(close @ (']' | '}')) => break close,
                Some('"') => ends.push((self.quoted()?, true)),
                Some(_) => {
                    let end =
                        rest.find(|c: char| c.is_whitespace() || matches!(c, ']' | '}' | '"')).unwrap_or(rest.len());
                    ends.push((rest[..end].to_owned(), false));
                    self.at += end;
                }
            }
            if ends.len() > 3 {
                return Err(fault());
            }
        };
        self.at += 1;
        let Ok([low, between, high]) = <[(String, bool); 3]>::try_from(ends) else { return Err(fault()) };
        if between != ("TO".to_owned(), false) {
            return Err(fault());
        }
        let bound = |(value, is_quoted): (String, bool), is_closed: bool| match (value.as_str(), is_quoted, is_closed) {
            ("*", false, _) => Bound::Unbounded,
            (_, _, true) => Bound::Included(value),
            (_, _, false) => Bound::Excluded(value),
        };
        Ok(Sought::Range(bound(low, low_is_closed), bound(high, close == ']')))
    }

    /// Takes everything up to a blank, or to a bracket that was opened before this word.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let mut opened_here = 0;
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            let closes = c == ')' && opened_here == 0 && (self.open_brackets > 0 || self.is_filter());
            if c.is_whitespace() || closes {
                end = at;
                break;
            }
            match c {
                '(' => opened_here += 1,
                ')' if opened_here > 0 => opened_here -= 1,
                _ => {}
            }
        }
        self.at += end;
        &rest[..end]
    }
}

/// A word with what may stand at its end.
fn of_word(word: &str, least_stem: usize) -> Sought {
    let is_stem = |stem: &str| {
        let ends_well = stem.chars().next_back().is_some_and(char::is_alphanumeric);
        ends_well && !stem.contains(['*', '~']) && stem.chars().count() >= least_stem
    };
    if let Some(stem) = word.strip_suffix('*').filter(|stem| is_stem(stem) || least_stem == 1 && !stem.is_empty()) {
        return Sought::Prefix(stem.to_owned());
    }
    for (end, distance) in [("~1", 1), ("~2", 2)] {
        if let Some(stem) = word.strip_suffix(end).filter(|stem| is_stem(stem)) {
            return Sought::Fuzzy(stem.to_owned(), distance);
        }
    }
    Sought::Word(word.to_owned())
}

#[cfg(test)]
mod tests;
