// Contributions as steps from the baseline to the answer, on the axis of the answer. Pure.

const MAX_SHOWN = 8;

// `explanation` is that of `/predict/explain`. On the axis 0 is 0 % of the class `positive` and 1 is 100 %; if a value
// is explained, they are the least and the greatest of all sums. Log-odds become probabilities after each step: how
// far it goes depends on those before, its contribution does not.
// Returns `{from, to, steps: [{feature, value, contribution, from, to}], rest, ends}`; `rest` are all after the first `most`,
// and `ends` are the baseline and the sum of all, for the class `positive`.
export function stepsOf({ contributions, baseline, value, scale, output }, positive, most = MAX_SHOWN) {
  const others = contributions.slice(most);
  const total = others.reduce((all, { contribution }) => all + contribution, 0);
  const listed = [...contributions.slice(0, most), ...(others.length > 0 ? [{ count: others.length, contribution: total }] : [])];
  const sums = [baseline.value];
  for (const { contribution } of listed) sums.push(sums.at(-1) + contribution);
  sums[sums.length - 1] = value; // exactly
  const sign = output === positive || scale === "value" ? 1 : -1;
  const [least, greatest] = [Math.min(...sums), Math.max(...sums)];
  const at = (sum) => {
    if (scale === "value") return greatest > least ? (sum - least) / (greatest - least) : 0.5;
    const chance = scale === "log_odds" ? 1 / (1 + Math.exp(-sum)) : Math.min(1, Math.max(0, sum));
    return sign > 0 ? chance : 1 - chance;
  };
  const steps = listed.map((each, i) => ({ ...each, contribution: sign * each.contribution, from: at(sums[i]), to: at(sums[i + 1]) }));
  const rest = others.length > 0 ? steps.pop() : null;
  const ends = [baseline.value, value].map((sum) => (sign > 0 ? sum : scale === "log_odds" ? -sum : 1 - sum));
  return { from: at(baseline.value), to: at(value), steps, rest, ends };
}
