// Swagger UI over this service's own document. A key that is given to "Authorize" is forgotten with
// the page, and no address can make the page show the document of another service.

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  persistAuthorization: false,
  queryConfigEnabled: false,
  validatorUrl: null,
  onComplete: showModel,
});

// Names the version that the document describes.
function showModel() {
  const [name, version] = ["x-model-name", "x-model-version"].map((key) => ui.specSelectors.specJson().getIn(["info", key]));
  if (!name) return;
  document.getElementById("model").textContent = name;
  document.getElementById("version").textContent = `version ${version}`;
  document.title = `${name.slice(0, 80)}, version ${version} · API`;
}
