//! Text, rows and disk: lexical and dense halves under one commit, and the fusion of their lists.
