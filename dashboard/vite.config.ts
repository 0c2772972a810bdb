import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// Addresses are relative: the same build is served at /dashboard/ by the sidecar and at /nats-dashboard/ by the Gateway.
export default defineConfig({
  base: "./",
  plugins: [svelte()],
  build: { target: "es2022", modulePreload: { polyfill: false }, assetsInlineLimit: 0, cssCodeSplit: false },
});
