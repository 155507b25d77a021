// What a frontend does with the client that was generated from /openapi.json.
import { createClient } from './client/client/index.js';
import { getModel, getReadiness, predict, predictBatch } from './client/sdk.gen.js';
import type { ClassLabel, FieldError, Prediction, Problem, Record as Measurements } from './client/types.gen.js';

declare const process: { argv: string[] };

const [baseUrl, given] = process.argv.slice(2) as [string, string];
const client = createClient({ baseUrl });
const record: Measurements = JSON.parse(given);

const one = await predict({ client, body: record });
const answer: Prediction = one.data!;
const label: ClassLabel = answer.prediction;
const chance: number = answer.probabilities.malignant;

const several = await predictBatch({ client, body: { instances: [record, { ...record, mean_radius: 99 }] }, query: { warnings: true } });

const refused = await predict({ client, body: { ...record, mean_radius: null as unknown as number } });
const problem: Problem | undefined = refused.error;
const faults: Array<FieldError> = problem?.errors ?? [];

const ready = await getReadiness({ client });
const model = await getModel({ client });
const etag = model.response.headers.get('ETag')!;
const again = await getModel({ client, headers: { 'If-None-Match': etag } });

// @ts-expect-error  a label that the model does not have
const wrong: ClassLabel = 'unheard of';

// @ts-expect-error  a record that lacks features
await predict({ client, body: { mean_radius: wrong.length } });

console.log(JSON.stringify({
    label,
    chance,
    version: answer.model_version,
    several: several.data?.predictions.map((each) => each.prediction),
    warned: several.data?.predictions[1]?.warnings?.map((each) => each.feature),
    status: problem?.status,
    field: faults[0]?.field,
    ready: ready.data?.model_version,
    serving: model.data?.serving?.model_version,
    again: again.response.status,
}));
