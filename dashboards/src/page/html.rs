//! The pages as text. Whatever is not written here is escaped on its way in, by [`Escaped`].

use std::fmt::{self, Display, Write as _};

use flags::{Mode, Side};

use super::guard::{performance, state};
use super::{Card, Known, Page};
use crate::wire::{MigrationView, ReplicaView, SideView};

/// Text as HTML shows it, in content and in quoted attributes.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl fmt::Write for Escaping<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.chars().try_for_each(|c| match c {
                    '&' => self.0.write_str("&amp;"),
                    '<' => self.0.write_str("&lt;"),
                    '>' => self.0.write_str("&gt;"),
                    '"' => self.0.write_str("&quot;"),
                    '\'' => self.0.write_str("&#39;"),
                    other => self.0.write_char(other),
                })
            }
        }
        write!(Escaping(f), "{}", self.0)
    }
}

/// A fragment that writes itself, so that pieces nest without a copy of each.
pub(super) struct Piece<F>(pub(super) F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> Display for Piece<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

fn each<'a, T>(
    items: &'a [T],
    write: impl Fn(&mut fmt::Formatter<'_>, &'a T) -> fmt::Result + 'a,
) -> impl Display + 'a {
    Piece(move |f: &mut fmt::Formatter<'_>| items.iter().try_for_each(|item| write(f, item)))
}

/// Every migration.
pub(super) fn status(page: &Page<'_>) -> String {
    let cards = each(&page.cards, |f, shown| write!(f, "{}", card(shown, rollback_button(&shown.migration))));
    let all = button(&Action {
        label: "Everything to legacy",
        title: "Everything to legacy",
        note: "Every migration goes to legacy now, on every router, and stays there until an admin acknowledges it.",
        method: "POST",
        path: "/api/v1/rollback",
        body: "{}",
        danger: true,
        solid: true,
    });
    let empty = if page.cards.is_empty() { "<p class=\"dim\">The file defines no migration.</p>" } else { "" };
    let live = format!(
        "{}<section><h2>Migrations</h2>{empty}<div class=\"grid\">{cards}</div></section>{}",
        overview(page),
        known(page)
    );
    frame("Crossfade", page, &all, &live)
}

/// The story's migration with its quick actions.
pub(super) fn dashboard(page: &Page<'_>) -> String {
    let cards = each(&page.cards, |f, shown| write!(f, "{}", card(shown, quick_actions(&shown.migration))));
    let live = format!(
        "{}<section><h2>System migration status</h2><div class=\"grid\">{cards}</div></section>{}",
        overview(page),
        known(page)
    );
    frame("Migration dashboard", page, &"", &live)
}

fn frame(title: &str, page: &Page<'_>, actions: &dyn Display, live: &dyn Display) -> String {
    let environment = Escaped(page.environment);
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · {environment}</title>
<link rel="icon" href="/ui/icon.svg">
<link rel="stylesheet" href="/ui/style.css">
<script src="/ui/app.js" defer></script>
</head>
<body>
<header>
<h1 class="brand"><img src="/ui/icon.svg" alt="">{title}</h1><span class="badge">{environment}</span>
<div class="actions"><button id="token" disabled>Use a token</button>{actions}</div>
</header>
<main>
<p id="notice" class="banner" role="status" hidden></p>
<noscript><p class="banner plain">This is how it was when the page was loaded. Without JavaScript it neither refreshes nor changes anything; the <code>crossfade</code> command does both.</p></noscript>
<div id="live">
{live}
</div>
</main>
<footer>Router <b>{replica}</b> · <a href="/metrics">metrics</a> · <a href="/readyz">readiness</a> · <a href="/api/v1/openapi.json">API</a></footer>
{DIALOGS}
</body>
</html>
"#,
        replica = Escaped(page.replica),
    )
}

const DIALOGS: &str = r#"<dialog id="act" aria-labelledby="act-title"><form id="act-form">
<h2 id="act-title"></h2>
<p id="act-note" class="dim"></p>
<label id="act-token-field">Token (role operator)<input id="act-token" type="password" autocomplete="off" spellcheck="false"></label>
<label>Reason<textarea id="act-reason" maxlength="900" placeholder="For whoever looks at the history next"></textarea></label>
<p id="act-error" class="banner bad" role="alert" hidden></p>
<div class="buttons"><button id="act-send" type="submit" disabled></button><button type="button" data-close="1" disabled>Cancel</button></div>
</form></dialog>
<dialog id="sign-in" aria-labelledby="sign-in-title"><form id="sign-in-form">
<h2 id="sign-in-title">Use a token</h2>
<p class="dim">It is kept in this tab only. A viewer sees replicas and the last changes, an operator changes things.</p>
<label>Token<input id="sign-in-token" type="password" autocomplete="off" spellcheck="false"></label>
<div class="buttons"><button class="primary" type="submit" disabled>Use it</button><button type="button" data-close="1" disabled>Cancel</button></div>
</form></dialog>"#;

fn overview<'a>(page: &'a Page<'_>) -> impl Display + 'a {
    Piece(move |f: &mut fmt::Formatter<'_>| {
        if !page.degradations.is_empty() {
            let reasons = each(&page.degradations, |f, reason| write!(f, "<li>⚠ {}</li>", Escaped(reason)));
            write!(f, "<div class=\"banner\"><ul>{reasons}</ul></div>")?;
        }
        let store = if page.store_reachable {
            "<span class=\"ok\">✓ reachable</span>"
        } else {
            "<span class=\"down\">✗ not reachable</span>"
        };
        write!(
            f,
            "<ul class=\"facts\"><li><span class=\"dim\">Store</span> {store}</li><li><span class=\"dim\">Revision</span> <b>{}</b></li>",
            page.revision
        )?;
        if let Some(Known { token, role, .. }) = &page.known {
            write!(f, "<li><span class=\"dim\">Token</span> <b>{}</b> ({role})</li>", Escaped(token))?;
        }
        f.write_str("</ul>")
    })
}

fn known<'a>(page: &'a Page<'_>) -> impl Display + 'a {
    Piece(move |f: &mut fmt::Formatter<'_>| {
        match &page.known {
        None => f.write_str(
            "<p class=\"dim small\">With a token this page also shows the routers of the fleet and who changed what, and why.</p>",
        ),
        Some(Known { replicas: None, .. }) => {
            f.write_str("<section><h2>Routers</h2><p class=\"dim\">Unknown while the store does not answer.</p></section>")
        }
        Some(Known { replicas: Some(replicas), .. }) => {
            let rows = each(replicas, |f, replica| write!(f, "{}", row(replica, page.revision)));
            write!(
                f,
                "<section><h2>Routers</h2><div class=\"table\"><table><thead><tr><th>Name</th><th>State</th><th>Revision</th><th>Version</th><th>File</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
            )
        }
    }
    })
}

fn row(replica: &ReplicaView, revision: u64) -> impl Display + '_ {
    Piece(move |f: &mut fmt::Formatter<'_>| {
        let state = match (replica.live, replica.draining) {
            (true, false) => "<span class=\"badge good\">✓ live</span>",
            (true, true) => "<span class=\"badge warn\">⏻ draining</span>",
            (false, _) => "<span class=\"badge bad\">✗ silent</span>",
        };
        let behind = if replica.revision.0 < revision { " <span class=\"badge warn\">behind</span>" } else { "" };
        let this = if replica.this { " <span class=\"dim\">(this one)</span>" } else { "" };
        let file: String = replica.config_hash.chars().take(8).collect();
        write!(
            f,
            "<tr><td>{}{this}</td><td>{state}</td><td>{}{behind}</td><td>{}</td><td><code>{}</code></td></tr>",
            Escaped(&replica.name),
            replica.revision,
            Escaped(&replica.version),
            Escaped(file)
        )
    })
}

fn card<'a>(shown: &'a Card, buttons: impl Display + 'a) -> impl Display + 'a {
    let Card { migration, judged } = shown;
    Piece(move |f: &mut fmt::Formatter<'_>| {
        let alarm = if migration.effective_mode == Mode::EmergencyRollback { " alarm" } else { "" };
        let id = Escaped(&migration.id);
        write!(
            f,
            "<article class=\"card{alarm}\"><div class=\"title\"><h2>{id}</h2>{}</div>",
            badge(migration.effective_mode)
        )?;
        if migration.effective_mode != migration.mode {
            write!(
                f,
                "<p class=\"banner bad small\">This router serves legacy by its kill file or its own rollback; the stored mode is {}.</p>",
                migration.mode
            )?;
        }
        if let Some(problem) = &migration.problem {
            write!(f, "<p class=\"banner small\">⚠ {}</p>", Escaped(problem))?;
        }
        write!(f, "{}{}{}", split(migration), state(judged), performance(judged))?;
        write!(
            f,
            "<h3>System Health</h3><div class=\"sides\">{}{}</div>",
            side(&migration.legacy, Side::Legacy),
            side(&migration.new, Side::New)
        )?;
        write!(f, "{}<div class=\"buttons\">{buttons}</div></article>", facts(migration))
    })
}

fn badge(mode: Mode) -> &'static str {
    match mode {
        Mode::LegacyOnly => "<span class=\"badge\">◀ legacy_only</span>",
        Mode::Parallel => "<span class=\"badge blue\">⇉ parallel</span>",
        Mode::Gradual => "<span class=\"badge blue\">◐ gradual</span>",
        Mode::NewOnly => "<span class=\"badge good\">▶ new_only</span>",
        Mode::EmergencyRollback => "<span class=\"badge bad\">⚠ emergency_rollback</span>",
    }
}

/// Who serves how much, as a bar with both ends named.
fn split(migration: &MigrationView) -> impl Display + '_ {
    Piece(move |f: &mut fmt::Formatter<'_>| {
        let (legacy, new) = (Escaped(&migration.labels.legacy), Escaped(&migration.labels.new));
        let on_new = migration.serves_new_percent;
        write!(
            f,
            "<div class=\"split\"><span>{legacy} <span class=\"big\">{on_legacy} %</span></span><span class=\"right\"><span class=\"big\">{on_new} %</span> {new}</span>\
             <svg viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{on_new} % of keys on new\"><rect class=\"legacy\" width=\"100\" height=\"1\"/><rect class=\"new\" x=\"{on_legacy}\" width=\"{on_new}\" height=\"1\"/></svg>",
            on_legacy = ((100.0 - on_new) * 100.0).round() / 100.0,
        )?;
        if migration.mode != Mode::Gradual && migration.percent > 0.0 {
            write!(
                f,
                "<span class=\"note dim small\">gradual share when its mode comes: {} %</span>",
                migration.percent
            )?;
        }
        if let Some(seen) = &migration.observed {
            let share = seen.percent.map(|percent| format!("{percent} % on new, ")).unwrap_or_default();
            let total = seen.legacy.saturating_add(seen.new);
            write!(f, "<span class=\"note dim small\">last {} s: {share}{total} requests</span>", seen.window_seconds)?;
        }
        f.write_str("</div>")
    })
}

fn side(view: &SideView, side: Side) -> impl Display + '_ {
    Piece(move |f: &mut fmt::Formatter<'_>| {
        let (up, all) = (view.endpoints.iter().filter(|endpoint| endpoint.healthy).count(), view.endpoints.len());
        let verdict = match view.healthy {
            Some(true) if up < all => format!("<span class=\"part\">◐ {up} of {all} healthy</span>"),
            Some(true) => "<span class=\"ok\">✓ healthy</span>".into(),
            Some(false) => "<span class=\"down\">✗ down</span>".into(),
            None => "<span class=\"dim\">unknown</span>".into(),
        };
        write!(f, "<div><h4>{side} · {}</h4>{verdict}<ul>", Escaped(&view.upstream))?;
        for endpoint in &view.endpoints {
            let mark =
                if endpoint.healthy { "<span class=\"ok\">✓</span>" } else { "<span class=\"down\">✗</span>" };
            write!(f, "<li>{mark} {}", Escaped(&endpoint.url))?;
            if let Some(problem) = &endpoint.problem {
                write!(f, " <span class=\"dim\">{}</span>", Escaped(problem))?;
            }
            f.write_str("</li>")?;
        }
        f.write_str("</ul></div>")
    })
}

fn facts(migration: &MigrationView) -> impl Display + '_ {
    Piece(move |f: &mut fmt::Formatter<'_>| {
        write!(f, "<dl><dt>Revision</dt><dd>{}</dd>", migration.revision)?;
        if migration.pins > 0 {
            write!(f, "<dt>Pinned keys</dt><dd>{}</dd>", migration.pins)?;
        }
        if !migration.key.is_empty() {
            write!(f, "<dt>Key</dt><dd>{}</dd>", Escaped(migration.key.join(", ")))?;
        }
        if !migration.requires.is_empty() {
            let ids: Vec<&str> = migration.requires.iter().map(flags::MigrationId::as_str).collect();
            write!(f, "<dt>Requires</dt><dd>{}</dd>", ids.join(", "))?;
        }
        if let Some(change) = &migration.last_change {
            write!(
                f,
                "<dt>Last change</dt><dd>{} by {}: {}</dd>",
                change.time.strftime("%Y-%m-%d %H:%M:%S UTC"),
                Escaped(&change.actor),
                Escaped(&change.reason)
            )?;
        }
        f.write_str("</dl>")
    })
}

/// A button whose change the script asks a reason for.
struct Action<'a> {
    label: &'a str,
    title: &'a str,
    note: &'a str,
    method: &'a str,
    path: &'a str,
    body: &'a str,
    danger: bool,
    solid: bool,
}

fn button(action: &Action<'_>) -> String {
    let Action { label, title, note, method, path, body, danger, solid } = action;
    let class = match (danger, solid) {
        (true, true) => "danger solid",
        (true, false) => "danger",
        (false, _) => "",
    };
    let mut text = String::new();
    let _ = write!(
        text,
        "<button class=\"{class}\" data-focus=\"{key}\" data-verb=\"{verb}\" data-title=\"{title}\" data-note=\"{note}\" data-method=\"{method}\" data-path=\"{path}\" data-body=\"{body}\"{danger} disabled>{label}</button>",
        key = Escaped(format!("{path} {body}")),
        verb = Escaped(label),
        title = Escaped(title),
        note = Escaped(note),
        path = Escaped(path),
        body = Escaped(body),
        danger = if *danger { " data-danger=\"1\"" } else { "" },
        label = Escaped(label),
    );
    text
}

fn rollback_button(migration: &MigrationView) -> String {
    if migration.mode == Mode::EmergencyRollback {
        return "<span class=\"dim small\">Latched: an admin leaves it with <code>crossfade acknowledge</code>.</span>"
            .into();
    }
    let id = &migration.id;
    button(&Action {
        label: "Roll back",
        title: &format!("Roll back {id}"),
        note: &format!(
            "Everything of {id} goes to {} now, on every router, and stays there until an admin acknowledges it.",
            migration.labels.legacy
        ),
        method: "POST",
        path: &format!("/api/v1/migrations/{id}/rollback"),
        body: "{}",
        danger: true,
        solid: false,
    })
}

/// What the story's page offers: one side or the other, and the way out.
fn quick_actions(migration: &MigrationView) -> String {
    let id = &migration.id;
    let only = |label: &str, mode: Mode| {
        button(&Action {
            label: &format!("Switch to {label} only"),
            title: &format!("Switch {id} to {label} only"),
            note: &format!("{label} serves every request of {id} from now on."),
            method: "PUT",
            path: &format!("/api/v1/migrations/{id}/mode"),
            body: &format!("{{\"mode\":\"{mode}\"}}"),
            danger: false,
            solid: false,
        })
    };
    let latched = migration.mode == Mode::EmergencyRollback;
    let (new, legacy) = (only(&migration.labels.new, Mode::NewOnly), only(&migration.labels.legacy, Mode::LegacyOnly));
    if latched { rollback_button(migration) } else { format!("{new}{legacy}{}", rollback_button(migration)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_content_or_attributes() {
        assert_eq!(
            Escaped("<a href='x'>\"&\"</a>").to_string(),
            "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;&lt;/a&gt;"
        );
    }
}
