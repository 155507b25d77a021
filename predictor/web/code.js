// Code that asks for the same record: curl, Python and JavaScript. Pure.

const KEY = "YOUR_KEY";

// `record` is JSON text. A text in quotes of JSON is also a text of Python and JavaScript.
export function codeOf(record, url, needsKey) {
  const [body, address] = [record, url].map(quoted);
  const header = needsKey ? `, "Authorization": "Bearer ${KEY}"` : "";
  return {
    curl: `curl ${shell(url)} -H 'Content-Type: application/json'${needsKey ? ` -H 'Authorization: Bearer ${KEY}'` : ""} \\\n  -d ${shell(record)}`,
    Python: `import json\nimport urllib.request\n\nrecord = ${body}\nrequest = urllib.request.Request(\n    ${address}, record.encode(), {"Content-Type": "application/json"${header}}\n)\nprint(json.load(urllib.request.urlopen(request)))`,
    JavaScript: `const response = await fetch(${address}, {\n  method: "POST",\n  headers: { "Content-Type": "application/json"${header} },\n  body: ${body},\n});\nconsole.log(await response.json());`,
  };
}

const quoted = (text) => (/['\\]/.test(text) ? JSON.stringify(text) : `'${text}'`);
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
