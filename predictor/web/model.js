// What serves: all that /model says, or the little that /ready says where /model is for operators only.

import { Problem, get } from "./api.js";

let closed = false; // /model asks for a key that this page is not given

// A body such as that of /model, and why nothing serves, where nothing does.
export async function whatServes() {
  if (!closed) {
    try {
      const model = await get("model");
      return { model, why: model.serving ? "" : await whyNothing() };
    } catch (error) {
      if (!(error instanceof Problem && error.status === 401)) throw error;
      closed = true;
    }
  }
  return fromReady();
}

async function fromReady() {
  const model = { model_uri: "", aspired: null, loading: null, last_failure: null, registry: { reachable: true } };
  try {
    const { model_name, model_version } = await get("ready");
    return { model: { ...model, serving: { model_name, model_version } }, why: "" };
  } catch (error) {
    if (!(error instanceof Problem && error.status === 503)) throw error;
    return { model: { ...model, serving: null }, why: error.message };
  }
}

async function whyNothing() {
  try {
    await get("ready");
    return "it changes at this moment";
  } catch (error) {
    return error.message;
  }
}
