//! Scripts and style sheets of ours as they are sent: without what is for readers of the source.
//!
//! Comments, indentation, the spaces between signs and the semicolons at ends of lines are a fifth of what a phone would load.
//! Nothing is renamed, and no statement moves to the line of another. Texts, patterns and templates stay as they are, but for the
//! indentation of a template's lines: markup takes the end of the line before for it.
//!
//! Not here: anything that must know the language. A pattern is told from a division by the sign before it, which a test
//! compares with what TypeScript reads (`tests/browser/quality.test.js`).

/// A module of ours.
pub(super) fn script(source: &str) -> String {
    let mut script = Script { rest: source, kept: String::with_capacity(source.len()), depth: 0, open: Vec::new() };
    while let Some(sign) = script.rest.chars().next() {
        script.take(sign);
    }
    script.kept
}

/// A style sheet of ours.
pub(super) fn style(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(sign) = rest.chars().next() {
        if rest.starts_with("/*") {
            rest = past_comment(rest);
            continue;
        }
        let is_space = sign.is_ascii_whitespace();
        let length = match sign {
            '"' => quoted(rest, sign),
            _ if is_space => rest.len() - rest.trim_start().len(),
            _ => sign.len_utf8(),
        };
        let (text, behind) = rest.split_at(length);
        rest = behind;
        let joins = |sign: Option<char>| sign.is_none_or(|sign| "{};,>".contains(sign));
        let (before, next) = (kept.chars().next_back(), rest.chars().next());
        if !is_space {
            kept.push_str(text);
        } else if !(joins(before) || before == Some(':') || joins(next) || rest.starts_with("/*")) {
            // A colon begins a selector too, which the space before it is a part of.
            kept.push(' ');
        }
    }
    kept
}

struct Script<'a> {
    rest: &'a str,
    kept: String,
    /// Braces that are open, within the innermost template.
    depth: usize,
    /// Those around each template that code stands in.
    open: Vec<usize>,
}

impl Script<'_> {
    fn take(&mut self, sign: char) {
        match sign {
            '"' | '\'' => self.keep(quoted(self.rest, sign)),
            '`' => self.template(),
            '/' if self.rest.starts_with("//") => {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
            }
            '/' if self.rest.starts_with("/*") => self.comment(),
            '/' if self.begins_pattern() => self.keep(pattern(self.rest)),
            '}' if self.depth == 0 && !self.open.is_empty() => {
                self.depth = self.open.pop().unwrap_or_default();
                self.template();
            }
            '\n' => {
                self.end_line();
                self.rest = &self.rest[1..];
            }
            ' ' => self.space(),
            _ => {
                match sign {
                    '{' => self.depth += 1,
                    '}' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                self.keep(sign.len_utf8());
            }
        }
    }

    fn keep(&mut self, length: usize) {
        let (text, rest) = self.rest.split_at(length);
        self.kept.push_str(text);
        self.rest = rest;
    }

    /// A comment of several lines ends the line that it begins in.
    fn comment(&mut self) {
        let rest = past_comment(self.rest);
        let is_long = self.rest[..self.rest.len() - rest.len()].contains('\n');
        self.rest = rest;
        if is_long {
            self.end_line();
        } else if self.kept.ends_with(is_word) {
            self.kept.push(' ');
        }
    }

    /// The end of a line ends a statement, too, where the next one begins with a word that cannot go on with this one.
    fn end_line(&mut self) {
        while self.kept.ends_with(' ') {
            self.kept.pop();
        }
        let mut next = self.rest.trim_start();
        while next.starts_with("//") || next.starts_with("/*") {
            let end = if next.starts_with("//") { "\n" } else { "*/" };
            next = next.split_once(end).map_or("", |(_, behind)| behind.trim_start());
        }
        let goes_on = ["in ", "instanceof "].iter().any(|word| next.starts_with(word));
        if self.kept.ends_with(';') && next.starts_with(|sign| is_word(sign) || sign == '}') && !goes_on {
            self.kept.pop();
        }
        if !self.kept.is_empty() && !self.kept.ends_with('\n') {
            self.kept.push('\n');
        }
    }

    /// A space stays between words, and where two signs would become another one.
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
        let (Some(before), Some(next)) = (self.kept.chars().next_back(), self.rest.chars().next()) else { return };
        let is_sign = |sign| "+-/".contains(sign);
        if (is_word(before) && is_word(next)) || (is_sign(before) && is_sign(next)) {
            self.kept.push(' ');
        }
    }

    /// From its first sign, or from the end of code within it, to its end or to the next code.
    fn template(&mut self) {
        self.keep(1);
        while let Some(at) = self.rest.find(['`', '$', '\\', '\n']) {
            self.keep(at);
            let begins_code = self.rest.starts_with("${");
            match self.rest.chars().next() {
                Some('\\') => self.keep(1 + self.rest[1..].chars().next().map_or(0, char::len_utf8)),
                Some('\n') => {
                    self.keep(1);
                    self.rest = self.rest.trim_start_matches(' ');
                }
                Some('$') if !begins_code => self.keep(1),
                _ => {
                    self.keep(if begins_code { 2 } else { 1 });
                    if begins_code {
                        self.open.push(std::mem::take(&mut self.depth));
                    }
                    return;
                }
            }
        }
        self.keep(self.rest.len());
    }

    /// Behind a value a slash divides; behind anything else it begins a pattern.
    fn begins_pattern(&self) -> bool {
        let before = self.kept.trim_end();
        let word = before.rsplit(|sign| !is_word(sign)).next().unwrap_or_default();
        let is_value = before.ends_with(|sign| is_word(sign) || ")]}\"'`".contains(sign));
        !is_value || ["return", "typeof", "case", "in", "of"].contains(&word)
    }
}

const fn is_word(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '_' | '$' | '#') || !sign.is_ascii()
}

/// How long a text with its quotes is.
fn quoted(text: &str, quote: char) -> usize {
    let mut signs = text.char_indices().skip(1);
    while let Some((at, sign)) = signs.next() {
        if sign == quote {
            return at + 1;
        }
        if sign == '\\' {
            signs.next();
        }
    }
    text.len()
}

/// How long a pattern with its slashes is; its flags are a word behind it.
fn pattern(text: &str) -> usize {
    let mut signs = text.char_indices().skip(1);
    let mut is_class = false;
    while let Some((at, sign)) = signs.next() {
        match sign {
            '/' if !is_class => return at + 1,
            '[' | ']' => is_class = sign == '[',
            '\\' => drop(signs.next()),
            _ => {}
        }
    }
    text.len()
}

/// What stands behind the comment that a text begins with.
fn past_comment(text: &str) -> &str {
    text.split_once("*/").map_or("", |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_spaces_stay_here() {
        for (source, sent) in [
            ("/** One line. */\nconst a = 1; // gone\n/**\n * Many.\n */\n  // Gone.\n", "const a=1;\n"),
            ("/** @type {A} */ (a)?.b();\n  f((/** @type {string} */ one) => one);", "(a)?.b()\nf((one)=>one);"),
            ("a + +b - --c; a / b / c; d = (a++) / 2;", "a+ +b- --c;a/b/c;d=(a++)/2;"),
            ("const url = \"http://x/**\" + 'it''s \\' // so';", "const url=\"http://x/**\"+'it''s \\' // so';"),
            (
                "return /[/\"'`] {2}/g.test(a)\nx = y.z / 2 / /a b/.source",
                "return/[/\"'`] {2}/g.test(a)\nx=y.z/2/ /a b/.source",
            ),
            ("async ({ a, b }) => { return `a  ${ b } // c`; }", "async({a,b})=>{return`a  ${b} // c`;}"),
            (
                "html`<p  class=${ { a: `}${ 1 + 1 }` }[ b ] }>\n    ${ x && `  y` } \\` $5 </p>`; c = d",
                "html`<p  class=${{a:`}${1+1}`}[b]}>\n${x&&`  y`} \\` $5 </p>`;c=d",
            ),
            ("if (a) b; else return  c;   \n// Gone.\nd;\n(e);", "if(a)b;else return c\nd;\n(e);"),
            ("a = b;\n[c] = d;\n`e`;\n}", "a=b;\n[c]=d;\n`e`\n}"),
            ("a/* x */b; 'ü' in ü", "a b;'ü'in ü"),
        ] {
            assert_eq!(script(source), sent, "{source}");
        }
    }

    #[test]
    fn a_style_sheet_keeps_the_spaces_that_say_something() {
        for (source, sent) in [
            ("/* Of pages. */\n  .a > b, .c { b: c; } /* gone */\n", ".a>b,.c{b:c;}"),
            (
                "a :hover { width: calc(1px + 2px); font: 1em \"A, B\", c; }",
                "a :hover{width:calc(1px + 2px);font:1em \"A, B\",c;}",
            ),
            ("@media (max-width: 1em) { .a .b { c: d e } }", "@media (max-width:1em){.a .b{c:d e}}"),
            ("a:is(b, c) > :not(d) {}", "a:is(b,c)>:not(d){}"),
        ] {
            assert_eq!(style(source), sent, "{source}");
        }
    }
}
