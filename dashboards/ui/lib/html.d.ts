// The types of html.js, which are all that this folder knows of the vendored modules.

type Effect = () => void | (() => void);
type Inputs = readonly unknown[];

/** What a component gives back. */
export type View = any;

export const html: (strings: TemplateStringsArray, ...values: any[]) => View;
export const render: (view: View, place: Element) => void;
export const Component: any;

export const signal: <T>(value: T) => Ui.Signal<T>;
export const computed: <T>(compute: () => T) => Ui.ReadonlySignal<T>;
export const effect: (run: Effect) => () => void;
export const batch: <T>(run: () => T) => T;
export const untracked: <T>(run: () => T) => T;
export const useSignal: <T>(value: T) => Ui.Signal<T>;
export const useComputed: <T>(compute: () => T) => Ui.ReadonlySignal<T>;
export const useSignalEffect: (run: Effect) => void;

export const useState: <T>(initial: T | (() => T)) => [T, (next: T | ((before: T) => T)) => void];
export const useEffect: (run: Effect, inputs?: Inputs) => void;
export const useLayoutEffect: (run: Effect, inputs?: Inputs) => void;
export const useRef: <T>(initial: T) => Ui.Ref<T>;
export const useId: () => string;
export const useMemo: <T>(make: () => T, inputs?: Inputs) => T;
export const useCallback: <T extends (...args: any[]) => any>(callback: T, inputs?: Inputs) => T;
