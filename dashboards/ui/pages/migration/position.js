// Where the traffic of a migration goes, and the two ways to change it: the crossfader and the mode.
//
// Nothing here changes anything by itself. What is chosen is a draft, shown with what it would move, until the dialog
// has a reason for it.

import { html, useEffect, useId, useSignal } from "../../lib/html.js";
import { ApiError, call, ofMigration } from "../../lib/api.js";
import { Action } from "../../lib/components.js";
import { openMode, openRollout } from "../../lib/dialog.js";
import { integer, localTimes, NONE, percent, perSecond } from "../../lib/format.js";
import { freeze, latest, ring } from "../../lib/live.js";
import { may, session } from "../../lib/session.js";
import { modeMeanings, modes, position as text, roles } from "../../strings.js";

const PRESETS = [0, 1, 5, 10, 25, 50, 75, 100];
const SERVABLE = ["legacy_only", "parallel", "gradual", "new_only"];
const DEBOUNCE_MS = 250;
/** Short enough to follow a change within seconds, long enough not to dance. */
const OBSERVED_SECONDS = 10;

/** @param {{migration: Api.Migration}} props */
export function Position({ migration }) {
  return html`
    <section class="card placement" aria-labelledby="position">
      <h2 id="position">${text.title}</h2>
      ${freeze.value && html`<p class="small">${text.frozen}</p>`}
      ${!may("operator") && html`<p class="small">${roles.needs("operator", session.value?.role ?? "")}</p>`}
      <div class="controls">
        <${Crossfader} migration=${migration} />
        <${Modes} migration=${migration} />
      </div>
    </section>`;
}

/** What both sides had in the last seconds; follows each second. @param {Api.Migration} migration */
function useSeen({ id, observed }) {
  latest(id).value;
  const [legacy, fresh] = [ring(id).sum("legacy", OBSERVED_SECONDS), ring(id).sum("new", OBSERVED_SECONDS)];
  const total = legacy.total + fresh.total;
  return { legacy, fresh, percent: total > 0 ? (100 * fresh.total) / total : observed?.percent };
}

/** What is asked for and what is seen, of late. @param {{migration: Api.Migration}} props */
function Standing({ migration }) {
  const { labels, mode, effective_mode: effective, percent: asked, serves_new_percent: serves } = migration;
  const { legacy, fresh, percent: seen } = useSeen(migration);
  const rate = (/** @type {{total: number, seconds: number}} */ side) => (side.seconds > 0 ? text.perSecond(perSecond(side.total / side.seconds)) : NONE);
  return html`
    <div class="standing">
      <div><span class="dim"><span class="swatch legacy" aria-hidden="true"></span>${labels.legacy}</span><b class="big">${percent(100 - serves)}</b><span class="dim small">${rate(legacy)}</span></div>
      <div class="right"><span class="dim"><span class="swatch new" aria-hidden="true"></span>${labels.new}</span><b class="big" data-testid="configured-percent">${percent(serves)}</b><span class="dim small">${rate(fresh)}</span></div>
      <p class="small dim">${text.observed(labels.new)} <b data-testid="observed-percent">${percent(seen)}</b>${mode !== "gradual" && asked !== serves && ` · ${text.kept(percent(asked))}`}${effective !== mode && ` · ${text.effective(modes[effective])}`}</p>
    </div>`;
}

/** On the scale of the crossfader: what is in force, and what is seen. The text above says the same. @param {{migration: Api.Migration}} props */
function Markers({ migration }) {
  const { percent: seen } = useSeen(migration);
  return html`<div class="markers" aria-hidden="true"><i class="now" style=${{ left: `${migration.serves_new_percent}%` }} title=${text.now}></i>
    ${seen !== undefined && html`<i class="seen" style=${{ left: `${seen}%` }}></i>`}</div>`;
}

/** @param {{migration: Api.Migration}} props */
function Crossfader({ migration }) {
  const { id, labels, mode, percent: asked, revision } = migration;
  const draft = useSignal(/** @type {string|null} */ (null));
  const hint = useId();
  const latched = mode === "emergency_rollback";
  const value = draft.value === null ? asked : Number(draft.value);
  const isValid = draft.value === null || (draft.value.trim() !== "" && value >= 0 && value <= 100 && Math.abs(value * 100 - Math.round(value * 100)) < 1e-6);
  const isChanged = isValid && value !== asked;
  const disabled = latched || !may("operator");
  // What was asked for has come: there is no draft any more. What somebody else did meanwhile leaves it alone.
  useEffect(() => { if (draft.value !== null && Number(draft.value) === asked) draft.value = null; }, [revision]);
  const set = (/** @type {string} */ next) => { draft.value = next; };
  const input = (/** @type {any} */ event) => set(event.currentTarget.value);

  return html`
    <div class="fader">
      <${Standing} migration=${migration} />
      <h3 id=${`${hint}-name`}>${text.crossfader}</h3>
      <div class="fader-row">
        <span class="end" aria-hidden="true">${labels.legacy}</span>
        <div class="track"><input type="range" min="0" max="100" step="any" data-testid="crossfader" class="crossfader"
          value=${isValid ? value : asked} disabled=${disabled} aria-labelledby=${`${hint}-name`} aria-valuetext=${text.crossfaderAt(percent(isValid ? value : asked), labels.new)}
          onInput=${(/** @type {any} */ event) => set(String(Math.round(event.currentTarget.value)))} />
          <${Markers} migration=${migration} /></div>
        <span class="end" aria-hidden="true">${labels.new}</span>
      </div>
      <div class="buttons presets" role="group" aria-label=${text.presets}>
        ${PRESETS.map((preset) => html`<button type="button" key=${preset} class="small" aria-pressed=${isValid && value === preset ? "true" : "false"} disabled=${disabled} onClick=${() => set(String(preset))}>${percent(preset)}</button>`)}
      </div>
      <div class="fader-send">
        <label class="percent-field">${text.percent}<input type="number" min="0" max="100" step="0.01" inputmode="decimal" data-testid="percent-input" aria-describedby=${hint}
          value=${draft.value ?? asked} disabled=${disabled} aria-invalid=${isValid ? "false" : "true"} onInput=${input} /></label>
        <${Action} needs="operator" kind="primary" testid="apply-percent" disabled=${disabled || !isChanged} onClick=${() => openRollout(id, value, { revision })}>${text.apply(isValid ? percent(value) : "")}<//>
        ${draft.value !== null && html`<button type="button" class="quiet" onClick=${() => { draft.value = null; }}>${text.reset}</button>`}
      </div>
      <div id=${hint} class="forecast" aria-live="polite">
        ${!isValid ? html`<p class="field-error">${text.invalid}</p>` : html`<${Forecast} migration=${migration} path="/rollout" body=${isChanged && !disabled ? { percent: value } : null} empty=${latched ? text.latched : mode === "gradual" ? text.choose : text.onlyGradual(modes[mode])} />`}
      </div>
    </div>`;
}

/** @param {{migration: Api.Migration}} props */
function Modes({ migration }) {
  const { id, mode, revision } = migration;
  const draft = useSignal(/** @type {string|null} */ (null));
  const latched = mode === "emergency_rollback";
  const chosen = draft.value ?? mode;
  const disabled = latched || !may("operator");
  const why = latched ? text.latched : null;
  useEffect(() => { draft.value = null; }, [mode]);

  return html`
    <div class="modes">
      <fieldset class="choices"><legend><h3>${text.mode}</h3></legend>
        ${SERVABLE.map((own) => html`
          <label key=${own} class="choice"><input type="radio" name="mode" value=${own} checked=${chosen === own} disabled=${disabled} title=${why} onChange=${() => { draft.value = own; }} />
            <span>${modes[own]}${own === mode && html` <em>${text.now}</em>`}<small>${modeMeanings[own]}</small></span></label>`)}
      </fieldset>
      <div class="fader-send">
        <${Action} needs="operator" kind="primary" testid="apply-mode" disabled=${disabled || chosen === mode} onClick=${() => openMode(id, chosen, { revision })}>${text.change(chosen === mode ? "" : modes[chosen])}<//>
        ${draft.value !== null && draft.value !== mode && html`<button type="button" class="quiet" onClick=${() => { draft.value = null; }}>${text.reset}</button>`}
      </div>
      <div class="forecast" aria-live="polite"><${Forecast} migration=${migration} path="/mode" body=${chosen !== mode && !disabled ? { mode: chosen } : null} empty=${why ?? text.rollbackApart} /></div>
    </div>`;
}

/** What a draft would move, by a dry run. What would be refused is said here already. @param {{migration: Api.Migration, path: string, body: Record<string, unknown>|null, empty: string}} props */
function Forecast({ migration: { id, labels, revision }, path, body, empty }) {
  const found = useSignal(/** @type {{for: string, change?: Api.Change, error?: ApiError}|null} */ (null));
  const asked = body && JSON.stringify({ ...body, revision });
  useEffect(() => {
    if (!body || !asked) return undefined;
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const answer = await call("PUT", ofMigration(id, path), { body: { ...body, reason: "preview" }, query: { dry_run: true }, signal: abort.signal });
        found.value = { for: asked, change: answer.body };
      } catch (error) {
        if (!abort.signal.aborted && error instanceof ApiError) found.value = { for: asked, error };
      }
    }, DEBOUNCE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [asked]);

  if (!body) return html`<p class="small dim">${empty}</p>`;
  if (found.value?.for !== asked) return html`<p class="small dim">${text.looking}</p>`;
  const { change, error } = found.value;
  if (!change) return html`<p class="small">${error?.message}</p>`;
  const { moves } = change;
  const to = moves.direction === "toward_new" ? labels.new : labels.legacy;
  return html`
    <p class="small"><b>${text.position(modes[change.before.mode], percent(change.before.percent))} → ${text.position(modes[change.after.mode], percent(change.after.percent))}</b></p>
    <p class="small">${moves.direction === "none" ? text.movesNone : text.moves(percent(moves.percent), to)}
      ${moves.recent_keys && moves.recent_keys.seen > 0 && html`<br />${text.recent(percent(moves.recent_keys.percent), integer(moves.recent_keys.moving), integer(moves.recent_keys.seen))}`}
      ${moves.requests_per_second !== undefined && moves.direction !== "none" && html`<br />${text.requests(perSecond(moves.requests_per_second))}`}</p>
    ${change.warnings?.map((warning) => html`<p class="small warning"><span aria-hidden="true">⚠ </span>${localTimes(warning)}</p>`)}`;
}
