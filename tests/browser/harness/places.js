// The pages of the dashboard.

import { MIGRATION } from "./world.js";

export const PAGES = ["/", `/migrations/${MIGRATION}`, `/migrations/${MIGRATION}/mismatches`, "/issues", "/explain", "/history", "/upstreams", "/replicas", "/access"];

/** Where the story's people look. */
export const STORY = "/migration/dashboard";
