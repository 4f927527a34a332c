// The types that the JSDoc of this folder speaks of. Known everywhere, loaded by no browser.

declare namespace Ui {
  type Signal<T> = { value: T; peek: () => T };
  type ReadonlySignal<T> = { readonly value: T; peek: () => T };
  type Ref<T> = { current: T };
  type Tone = "good" | "bad" | "warn" | "blue" | "plain";
  /** A toast; `note` is a second line, `action` its button. */
  type Toast = { id: number; text: string; note?: string; tone: "good" | "bad" | "warn"; action?: { label: string; run: () => void }; /** The migration that moved. */ of?: string; until: number };
  type Route = { page: string; params: Record<string, string>; path: string; query: URLSearchParams };
  /** Why a migration needs attention. */
  type Reason = { tone: "bad" | "warn"; text: string };

  type CallOptions = {
    /** Sent as JSON. */
    body?: unknown;
    /** The revision that was looked at. */
    ifMatch?: string | number | null;
    query?: Record<string, string | number | boolean | null | undefined>;
    /** Milliseconds until it is given up. */
    timeout?: number;
    signal?: AbortSignal;
    /** Goes along instead of the session. */
    token?: string;
    /** A 401 does not end the session. */
    quiet?: boolean;
  };

  /** What the change dialog is asked for. */
  type ChangeRequest = {
    /** Of the migration. */
    id: string;
    title: string;
    intro?: string;
    /** Of the button that sends. */
    verb: string;
    method: "PUT" | "POST" | "DELETE";
    /** Below the migration, such as `/mode`. */
    path: string;
    body?: Record<string, unknown>;
    /** One more member of the body, chosen in the dialog. */
    choice?: { name: string; label: string; options: { value: string; label: string; note?: string }[] };
    needs?: Api.Role;
    /** To begin with. */
    reason?: string;
    reasonLabel?: string;
    danger?: boolean;
    /** That was looked at; else the newest that is known. */
    revision?: number;
  };

  type Field = { name: string; label: string; kind?: "text" | "area" | "select"; options?: Record<string, string>; value?: string; /** What is said where it is empty. */ required?: string; hint?: string; testid?: string };
  /** A dialog that asks for some values and sends them. */
  type Form = { title: string; intro?: string; /** What would happen, a line each. */ facts?: string[]; verb: string; danger?: boolean; needs?: Api.Role; fields: Field[]; send: (values: Record<string, string>) => Promise<void> };
}

declare namespace Api {
  type Role = "viewer" | "reporter" | "operator" | "admin";
  type Session = { name: string; role: Role; expires?: string | null; by?: "session" | "token" };
  /** What is told without a session. */
  type Door = { environment?: string; replica?: string; oidc?: null | { label: string; url: string } };
  type Position = { mode: string; percent: number };
  type Endpoint = { address?: string; url?: string; healthy: boolean; problem?: string };
  type Side = { label: string; upstream: string; healthy?: boolean; endpoints: Endpoint[] };
  type Thresholds = { hold: number; brake: number; rollback: number };

  type Migration = {
    id: string;
    mode: string;
    effective_mode: string;
    percent: number;
    serves_new_percent: number;
    revision: number;
    state: string;
    evidence: number;
    why?: string;
    guard_action?: string;
    thresholds?: Thresholds;
    cooldown_until?: string;
    labels: { legacy: string; new: string };
    legacy: Side;
    new: Side;
    key: string[];
    hash: string;
    program?: string | null;
    requires: string[];
    pins: number;
    default: boolean;
    reversible: boolean;
    last_change?: { actor: string; reason: string; time: string };
    problem?: string;
    observed?: { window_seconds: number; legacy: number; new: number; percent?: number };
  };

  type Replica = { name: string; revision: number; live: boolean; behind?: boolean; other_file?: boolean; draining: boolean; config_hash: string; version: string; time?: string; this: boolean };
  type Freeze = { frozen?: boolean; actor?: string; reason?: string; time?: string; until?: string };
  type Notice = { id: string; migration: string; kind: string; severity: string; text: string; actor?: string; revision: number; time: string; before?: Position; after?: Position };
  type SideSecond = { total: number; failed: number; p50_ms?: number | null; p95_ms?: number | null };
  /** A second of a migration's counts. */
  type Second = { legacy: SideSecond; new: SideSecond; observed_percent: number | null; evidence?: number; state?: string };

  /** What a change did, or would do. */
  type Change = {
    migration: string;
    revision: number;
    kind: string;
    before: Position;
    after: Position;
    moves: { direction: "toward_new" | "toward_legacy" | "none"; percent: number; recent_keys?: { seen: number; moving: number; percent: number }; requests_per_second?: number };
    changed: boolean;
    here_only: boolean;
    undo?: { path: string };
    warnings?: string[];
    /** How much of what was found a rule is for. */
    passes?: { mismatches: number; requests: number; would_pass?: number };
    applied_by: string[];
    pending: string[];
    converged: boolean;
  };
}

// What charts draw.
declare namespace Chart {
  /** One side, or one measure. `color` is a custom property such as `--new`; `dash` tells lines apart where colours do not. */
  type Line = { label: string; values: (number | null)[]; color: string; dash?: number[]; /** Values hold until the next one. */ stepped?: boolean };
  /** An interval around the first line. */
  type Band = { low: (number | null)[]; high: (number | null)[]; color: string };
  type Threshold = { value: number; label: string; color: string };
  /** Where a migration changed, in seconds since 1970. */
  type Mark = { time: number; label: string; color: string };
  /** `times` in seconds since 1970, rising. As many lines at each update as at the first. */
  type Data = { times: number[]; lines: Line[]; band?: Band; thresholds?: Threshold[]; marks?: Mark[] };
  type Format = (value: number | null | undefined) => string;
  type Look = {
    height: number;
    format: Format;
    formatTime: (seconds: number, span: number) => string;
    /** Of the vertical axis; null follows the data. */
    limits?: [number | null, number | null];
    /** The vertical axis shows at least this much, so that noise does not look like news. */
    spanMin?: number;
    onPoint: (index: number | null) => void;
  };
}

declare namespace Api {
  type SideName = "legacy" | "new";
  type Estimate = { value: number; low: number; high: number };
  type SeriesSide = { total: number; failed: number; p50_seconds?: number; p95_seconds?: number };
  /** A step of a series. Differences are new less legacy: of rates of success, of mean seconds, of scores. */
  type Point = {
    time: string; legacy: SeriesSide; new: SeriesSide; observed_percent?: number; matched: number; mismatched: number;
    success_difference?: Estimate; latency_difference?: Estimate; quality_difference?: Estimate;
  };
  type Transition = { time: string; revision: number; kind: string; actor?: string; reason?: string; before: Position; after: Position };
  type Series = {
    from: string; to: string; step_seconds: number; points: Point[]; transitions: Transition[];
    thresholds: { success_margin: number; latency_ratio: number; success_floor: number; hold: number; brake: number; rollback: number };
  };
  type Pin = { key: string; side: SideName; reason: string; actor: string; until?: string; expired: boolean };
  /** One change as the history keeps it. */
  type Entry = Transition & { actor: string; reason: string; hash: string; previous_hash: string; pin?: { key: string; before: Pin | null; after: Pin | null }; rule?: { before: Rule | null; after: Rule | null }; evidence?: any };
  type Decision = { serve: SideName; mirror: SideName | null; reason: string; bucket: number | null; revision: number; key: string | null; route: string | null; note?: string };
  type ComparisonTotals = { eligible: number; matched: number; ignored: number; mismatched: number; not_compared: number; coverage?: number; not_compared_by: Record<string, number> };
  type Mismatch = {
    fingerprint: string; route: string; pattern: string; kind: string; status: "counted" | "insufficient" | "noise" | "accepted" | "gone"; rule?: string;
    requests: number; compared: number; requests_last_hour: number; compared_last_hour: number; noise: number; asked_twice: number; confidence: number; users: number; users_at_least: boolean;
    since: string; latest: string; versions: { version: string; requests: number }[];
    proposal?: { path: string; kind: any; route: string; last_resort: boolean; reason: string };
  };
  type MismatchValue = { type: string; length: number; form: string; hash?: string; raw: boolean };
  type MismatchExample = { at: string; method: string; route: string; request_id: string; revision: number; version?: string; legacy?: MismatchValue; new?: MismatchValue };
  /** `id` is absent where the file has it. */
  type Rule = { id?: string; source: "file" | "accepted"; path: string; kind: any; route?: string; owner: string; reason: string; expires?: string; expired: boolean; accepted?: string };
  type DeadLetter = { issue: string; lane: string; owner: SideName; delivery: string; why: string; since: string };
  type Issue = {
    id: string; lane: "only" | SideName; state: string; owner: SideName; epoch: number; why: string; waiting: number; oldest?: string; attempt: number; due?: string;
    lease_until?: string; moving_to?: SideName; workflow?: string; success?: boolean; changed: string;
  };
  type Upstream = { name: string; endpoints: Endpoint[]; migrations: { id: string; side: SideName }[] };
  type SignedIn = { id: string; name: string; role: Role; by: "token" | "oidc"; created: string; last_used: string; expires: string; current: boolean };
}

declare namespace Ui {
  /** What came last stays while it is read again. */
  type Loaded<T> = { data: Signal<T | undefined>; error: Signal<Error | null>; reload: () => Promise<void> };
  type Verdict = "worse" | "better" | "within" | "open" | "none";
  /** The history of one migration, as far as it was read. */
  type Feed = { id: string; entries: Api.Entry[]; next: string | null; brokenAt: number | null };
  type Row = { migration: string; entry: Api.Entry; newest: boolean };
  /** A request that nobody sent; `path` with the query, each header as `NAME:VALUE`. */
  type Imagined = { key: string; method: string; host: string; path: string; headers: string[] };
}
