// The texts of the page for operators, in the language of `../words.js`. Only one of the two tables is fetched.

import { language } from "../words.js";

const TABLES = { en: () => import("./english.js"), de: () => import("./german.js") };

export const [texts] = Object.values(await TABLES[language]());
